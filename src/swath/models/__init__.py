"""Networks and the model file."""
