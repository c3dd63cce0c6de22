"""A layer of labels: its features, its classes, and what was changed."""
