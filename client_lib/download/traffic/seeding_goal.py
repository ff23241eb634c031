"""How long a complete album is given to others: until a ratio, a time, or for ever. Pure."""

import math
import re
from dataclasses import dataclass

from client_lib.errors import UsageError

_ITEM = re.compile(r"(ratio|time)=([0-9]{1,6}(?:\.[0-9]{1,6})?)([smhd]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = "`none`, `ratio=1.5`, `time=2h` (s, m, h or d), or both with a comma between them"


@dataclass(frozen=True, slots=True)
class SeedingGoal:
    """An album is given until it was given `ratio` times or for `seconds`, whichever is first.

    None: that does not end it. Both count over all runs. Raises UsageError for negative ones.
    """

    ratio: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        for value in (self.ratio, self.seconds):
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"a seeding goal of {value}: 0 or more")

    @classmethod
    def parse(cls, text: str) -> "SeedingGoal":
        """Read `ratio=1.0`, `time=2h`, both with a comma, or `none`. Raises UsageError."""
        if text == "none":
            return cls()
        found: dict[str, float] = {}
        for item in text.split(","):
            match = _ITEM.fullmatch(item.strip())
            if match is None or match[1] in found or (match[1] == "ratio" and match[3]):
                raise UsageError(f"{text!r} is no seeding goal: {_FORM}")
            found[match[1]] = float(match[2]) * _SECONDS[match[3]]
        return cls(found.get("ratio"), found.get("time"))

    def seconds_left(self, given_bytes: int, size_bytes: int, given_s: float) -> float:
        """Seconds until an album need not be given any longer: 0 when its goal is reached.

        The ratio may be reached sooner. `size_bytes` is what the customer has of the album.
        """
        if self.ratio is not None and given_bytes >= self.ratio * size_bytes:
            return 0.0
        return math.inf if self.seconds is None else max(0.0, self.seconds - given_s)
