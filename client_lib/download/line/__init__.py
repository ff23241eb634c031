"""The customer's line: how much of it may be used, by how many albums, and whether it is slow."""
