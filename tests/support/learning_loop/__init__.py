"""Learning from operation, once around: the service, its callers, its Prometheus, what was found, and its chart."""
