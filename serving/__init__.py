"""Server for handwritten digits over gRPC and HTTP: preprocessing, batching, inference, models on disk, metrics."""

__version__ = "0.1.0"
