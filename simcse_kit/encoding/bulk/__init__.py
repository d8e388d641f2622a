"""From corpora of any size to files of vectors."""
