"""Numbers of bytes, or bytes a second, as people write them."""

import re

from client_lib.errors import UsageError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
_COUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([kmg]i?)?b?(?:/s)?", re.IGNORECASE)


def parse_bytes(option: str, count: str | int) -> int:
    """Bytes, or bytes a second, of `500000`, `500kB`, `16MB`, `1.5MiB/s`.

    Raises UsageError, naming the option.
    """
    text = str(count)
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{option}: {text[:40]!r} is not a number of bytes such as 500000, 500kB or 16MB"
        )
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])
