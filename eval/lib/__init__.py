"""What the scripts of this folder share: records of results, tables, and peers to measure beside."""
