"""The QGIS plugin, in Debian's QGIS: its Python is another one, so all of it runs in processes."""
