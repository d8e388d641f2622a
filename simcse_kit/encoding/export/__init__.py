"""Export of a model for other runtimes, compared with the original."""
