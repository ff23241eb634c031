"""Seeder: publishes albums and guarantees their delivery."""
