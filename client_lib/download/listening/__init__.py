"""Listening to an album while it is being fetched: what is played next comes first."""
