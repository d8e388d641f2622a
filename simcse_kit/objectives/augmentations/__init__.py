"""Other views of a sentence: one file for each."""
