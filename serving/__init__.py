"""Server for handwritten digits over gRPC and HTTP: preprocessing, batching, inference, models on disk, metrics."""

__version__ = "0.1.0"

import os

# gRPC reads this when it is first imported, so it is set here. By default threads of gRPC read the connections, and
# each call is handed over to the thread that polls the completion queue. Without that "experiment" the polling thread
# reads them itself: 1.1 to 1.2 times the calls (decision 0041). A release that does not know the name logs that once.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
