"""A model in the forms that other runtimes load, each checked against the original."""
