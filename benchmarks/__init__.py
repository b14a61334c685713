"""Benchmarks: our server compared with others under the same load in one run, and scripts that measure one thing."""
