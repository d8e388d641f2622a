"""Additions to an objective: other losses on the same vectors, and more negatives."""
