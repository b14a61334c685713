"""What carries calls: gRPC by its own completion queue, or by grpc.aio. Both run the same methods."""

import os

# gRPC reads this when it is imported, and this package is what first imports it. By default threads of gRPC read the
# connections, and each call is handed over to the thread that polls the completion queue. Without that "experiment" the
# polling thread reads them itself: 1.1 to 1.2 times the calls (decision 0041). A release that does not know the name
# logs that once.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
