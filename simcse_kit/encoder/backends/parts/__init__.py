"""The encode backends of this package, one file each."""
