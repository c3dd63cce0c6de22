"""Change between maps of two or more dates: what became what, and how sure that is."""
