"""The commands of ``simcse-kit index``."""
