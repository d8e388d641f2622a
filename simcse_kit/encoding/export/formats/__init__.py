"""The export formats that come with this package, each described in a file of its own."""
