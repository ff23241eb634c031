"""Rights: who gets which share of a release's sales."""

from typing import Annotated

import msgspec

WHOLE_BP = 10_000
"""All shares of a release, in basis points (1/100 %)."""
MAX_HOLDERS = 100

HolderName = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,200}(?!\n)$")]


class RightsHolder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An artist, label or author, and their share of each sale in basis points."""

    name: HolderName
    share_bp: Annotated[int, msgspec.Meta(ge=1, le=WHOLE_BP)]


RightsField = Annotated[
    tuple[RightsHolder, ...], msgspec.Meta(min_length=1, max_length=MAX_HOLDERS)
]


def require_whole(holders: tuple[RightsHolder, ...]) -> None:
    """Check that each holder is named once and the shares are a whole. Raises ValueError."""
    if len({holder.name for holder in holders}) < len(holders):
        raise ValueError("rights: one holder is named twice")
    total = sum(holder.share_bp for holder in holders)
    if total != WHOLE_BP:
        raise ValueError(f"rights: the shares sum to {total} basis points instead of {WHOLE_BP}")
