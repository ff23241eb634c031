"""Backups: the whole of a licensing service in one encrypted file, and its restoration."""
