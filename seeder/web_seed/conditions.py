"""Conditional requests (RFC 9110, section 13) on entity tags; there are no dates. Pure."""

import re

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def matches(header: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags, or `*`, has ours. `weak` comparison ignores `W/`."""
    if header.strip(" \t") == "*":
        return True
    return any(
        match[2] == etag and (weak or not match[1])
        for match in map(_TAG.fullmatch, (tag.strip(" \t") for tag in header.split(",")))
        if match
    )


def is_same(if_range: str, etag: str) -> bool:
    """Whether `If-Range` names what we have (strongly); a date never does."""
    return if_range.strip(" \t") == etag
