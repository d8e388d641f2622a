"""The suites of this package, one file each."""
