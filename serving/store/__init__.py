"""Pictures kept for feedback, where the operator wants that: recent ones in memory, those worth keeping in SQLite."""
