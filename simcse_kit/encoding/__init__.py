"""What one does with a model: files of vectors, other machines, other forms."""
