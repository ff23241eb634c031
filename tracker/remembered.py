"""A bounded memory for what is dear to find out and asked for again."""

from collections.abc import Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """At least the `at_least` values that were asked for last, by some key; twice that at most.

    Two generations of plain dictionaries: a look-up is one `get`, and a value takes less memory
    than in an ordered dictionary that moves it to the end each time.
    """

    __slots__ = ("_at_least", "_old", "_young")

    def __init__(self, at_least: int) -> None:
        """Start empty."""
        self._at_least = at_least
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}

    def get(self, key: bytes) -> V | None:
        """Get what was kept under `key`, if it has not been forgotten."""
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self.keep(key, value)
        return value

    def keep(self, key: bytes, value: V) -> None:
        """Keep a value; those that nobody asked for in the longest time are forgotten."""
        if len(self._young) >= self._at_least:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def values(self) -> Iterator[V]:
        """All that are remembered, each once."""
        yield from self._young.values()
        yield from (value for key, value in self._old.items() if key not in self._young)
