"""The command line: parsing, help, progress bars and text of results."""
