"""Finds what is written in a picture: separates ink from paper, and drops what lies around it."""
