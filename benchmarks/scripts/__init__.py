"""Scripts that measure one thing each: `python -m benchmarks NAME`."""
