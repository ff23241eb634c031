"""What the tracker remembers of its announces, beyond the swarms themselves."""
