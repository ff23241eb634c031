"""What the operator sees: the status of a worker, and of all of them, and metrics."""
