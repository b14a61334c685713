"""Proof and figures of the service on a CUDA card, taken in one run of a few minutes."""
