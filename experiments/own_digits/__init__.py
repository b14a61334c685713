"""Adapting to own digits, measured on a population that the committed model reads badly."""
