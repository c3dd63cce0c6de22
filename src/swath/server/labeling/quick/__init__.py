"""A classifier that is fitted within seconds, and the map that it makes of what is seen."""
