"""Comparisons: several servers in interleaved rounds, their results, tables and charts."""
