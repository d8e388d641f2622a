"""Whole jobs in one call, made of the package's other parts."""
