"""The export formats of this package, one file each."""
