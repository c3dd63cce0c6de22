"""Training batches: which pixels are drawn, and how they are read, scaled and recolored."""
