"""Backbone, pooling and head; reading and writing their folders."""
