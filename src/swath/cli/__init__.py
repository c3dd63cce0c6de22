"""The command line: one verb a file, all of the same shape."""
