"""Predictions that clients request: uploads, a queue, and the processes that do the work."""
