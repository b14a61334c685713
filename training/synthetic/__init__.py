"""Pictures made here: non-digits, for the novelty output, and printed digits. Deterministic from seeds."""
