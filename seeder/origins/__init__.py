"""Where published releases are kept: a folder, or a bucket with a cache in front of it."""
