"""The verbs: each file does one job from start to end and returns a typed result."""
