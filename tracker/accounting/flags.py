"""Flags: what an operator should look at, with evidence. Bounded, and never acted upon."""

from collections import OrderedDict
from dataclasses import dataclass

MOST_FLAGS = 1_000


@dataclass(frozen=True, slots=True)
class Flag:
    """One oddity. `subject` is `licence <id>`, `seeder <id>` or `swarm <info-hash>`."""

    kind: str
    """`impossible-rate`, `unmatched-uploads` or `many-networks`."""
    subject: str
    evidence: str
    first_s: float
    last_s: float
    times: int


class Flags:
    """The latest flags, one of each kind and subject."""

    def __init__(self) -> None:
        """Start without any."""
        self._flags: OrderedDict[tuple[str, str], Flag] = OrderedDict()

    def raise_flag(self, kind: str, subject: str, evidence: str, now_s: float) -> None:
        """Keep the newest evidence; beyond `MOST_FLAGS` the oldest flag goes."""
        key = (kind, subject)
        before = self._flags.pop(key, None)
        first_s, times = (before.first_s, before.times) if before else (now_s, 0)
        self._flags[key] = Flag(kind, subject, evidence, first_s, now_s, times + 1)
        if len(self._flags) > MOST_FLAGS:
            self._flags.popitem(last=False)

    def newest(self) -> list[Flag]:
        """All of them, the newest first."""
        return list(reversed(self._flags.values()))
