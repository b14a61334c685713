"""Candidate versions in the processes: the canary that is loaded, and the process of the shadow."""
