"""Backbone, pooling and head, and the folders they are read from and written to."""
