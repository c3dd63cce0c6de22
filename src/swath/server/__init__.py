"""A tile server, and a page that shows a map over its image.

`app.create_app` assembles both. Only the `registry` turns a name in a request into a path.
"""
