"""What reading JSON from outside raises, where it is not what it should be."""

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Seen by fuzzing: not only msgspec's own errors. What is nested deeply ends as RecursionError."""
