"""Whole jobs in one call, built from the other parts of the package."""
