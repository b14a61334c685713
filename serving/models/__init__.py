"""Model versions on disk: finds, checks and loads them, and runs them with ONNX Runtime."""
