"""Who is in which swarm, and whom a peer is told about."""
