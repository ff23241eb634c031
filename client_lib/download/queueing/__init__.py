"""The durable queue: kept on the disk, and changed by commands of other processes."""
