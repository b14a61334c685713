"""Accepts calls by gRPC and HTTP: services, statuses, TLS and health over the use cases of `core`."""
