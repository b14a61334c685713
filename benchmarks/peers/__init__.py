"""Peers: servers that others would pick, each with its locked requirements and an environment of its own."""
