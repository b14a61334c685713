"""Writes a finished run as a model version: ONNX graph, checks, metadata, model card."""
