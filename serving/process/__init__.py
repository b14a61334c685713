"""Serving processes: one alone, or a supervisor and its workers; start, drain, reload, replace."""
