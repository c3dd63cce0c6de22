"""From a dataset to a network."""
