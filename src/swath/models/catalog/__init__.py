"""Folders and static STAC catalogs of models: listed, written, and fetched from."""
