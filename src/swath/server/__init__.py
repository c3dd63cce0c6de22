"""Maps for other programs and for people: a tile server, and a page that shows a map over its image.

`app.create_app` puts it together. What a request names is looked up on a `registry`; nothing else
turns a name into a path.
"""
