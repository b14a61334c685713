"""Calls made at the same time share RPCs: one queue that decides, and a thin shell each for asyncio and threads."""
