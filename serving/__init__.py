"""The online half: image intake, batching, the model runtime, the gRPC and HTTP faces, and a client."""

__version__ = "0.1.0"
