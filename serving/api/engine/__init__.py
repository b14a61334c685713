"""What carries calls: gRPC by its own completion queue, or by grpc.aio. Both run the same methods."""
