"""Candidate versions: which callers a canary answers, whether it returns, and what a shadow is sent."""
