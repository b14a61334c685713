"""Traces by OpenTelemetry: which requests are sampled, their spans, and how these are sent."""
