"""Places to label or to check next: squares of a map, and which of them tell most."""
