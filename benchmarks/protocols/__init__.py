"""Requests and responses of every server under load, as bytes: one contract per module."""
