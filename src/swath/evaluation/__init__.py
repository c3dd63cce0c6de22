"""Maps and models against reference labels."""
