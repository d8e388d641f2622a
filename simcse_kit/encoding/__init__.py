"""Uses of a model: files of vectors, several machines, other formats."""
