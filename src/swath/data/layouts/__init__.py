"""Layouts: how the files of a source folder are arranged, one module each.

A layout is a module of this package that provides what `layout.Layout` lists, and one row of
`layout.LAYOUTS`; `--layout` of `swath.options.SourceOptions` takes the name of the row. All it
returns is a `catalog.Catalog`: samples (image, labels, group, ...) and findings on the arrangement.
A layout reads file names, and headers where it must; pixels are read by `swath.checks` and
`swath.commands.prepare`.
"""
