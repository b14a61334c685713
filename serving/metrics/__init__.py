"""Prometheus metrics: the instruments, counters without locks, and the merge over worker processes."""
