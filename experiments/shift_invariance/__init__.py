"""Shift invariance: dense layers and convolutions on digits, shuffled digits and shifted digits."""
