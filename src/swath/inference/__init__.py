"""A network applied to pixels."""
