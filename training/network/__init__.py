"""The network: architecture, outputs, weights, and the folded form that is exported."""
