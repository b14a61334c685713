"""Prometheus metrics: the instruments, their counters, and the sum over worker processes."""
