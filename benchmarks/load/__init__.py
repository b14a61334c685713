"""Load on a server, and what came of it: requests a second, latency, processor time."""
