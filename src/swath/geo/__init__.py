"""Geometry of pixels: grids, tiles, scales, areas. PROJ, no files."""
