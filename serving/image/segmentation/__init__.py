"""Segmentation of pictures of numbers: lines, pieces, atoms, and candidates for digits."""
