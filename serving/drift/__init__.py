"""Drift: what a model version was measured on, what is counted of the traffic, and how far the two are apart."""
