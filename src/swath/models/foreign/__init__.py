"""Networks of other programs, in ONNX, on their way into model files."""
