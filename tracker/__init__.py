"""Tracker: introduces licensed peers of one swarm to each other, and nobody else."""
