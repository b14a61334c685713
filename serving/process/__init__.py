"""Serving processes: one alone, or a supervisor and its workers. They start, drain, reload and replace."""
