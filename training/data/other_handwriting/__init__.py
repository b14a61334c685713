"""Handwriting of others than MNIST's writers, as committed files: digits of two populations, and letters."""
