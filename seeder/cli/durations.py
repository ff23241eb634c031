"""Lengths of time on the command line."""

import re

from client_lib.errors import UsageError

_DURATION = re.compile(r"([0-9]{1,7})\s*(s|min|h)?")
_UNITS_S = {"": 1, "s": 1, "min": 60, "h": 3_600}
_MOST_S = 7 * 86_400


def seconds(option: str, text: str) -> int:
    """Seconds of `90s`, `15min` or `2h`, a week at most. Raises UsageError naming the `option`."""
    match = _DURATION.fullmatch(text.strip())
    found = int(match[1]) * _UNITS_S[match[2] or ""] if match else None
    if found is None or found > _MOST_S:
        raise UsageError(f"{option} {text[:40]!r}: 90s, 15min or 2h is needed, 168h at most")
    return found
