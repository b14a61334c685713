"""The HTTP port: pictures in and JSON out, the page, health and metrics."""
