"""What the three services have in common as processes: signals, logs, metrics."""
