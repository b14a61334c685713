"""MNIST and other data: sources, cache, split, the service's preprocessing, sample pictures."""
