"""Handwriting of others than MNIST's writers, drawn with many pens and framed by the service's preprocessing."""
