"""What is said to each server under load, in bytes: one way of asking per module."""
