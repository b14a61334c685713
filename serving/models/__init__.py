"""Model versions on disk: finding, checking and running them with ONNX Runtime."""
