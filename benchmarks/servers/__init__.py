"""Servers that can be measured: how each is installed and started, and the network that all of them serve."""
