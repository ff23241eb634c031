"""Which files of an album are wanted: paths or patterns against what the torrent has. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from client_lib.errors import UsageError


def wanted_files(name: str, selection: Sequence[str], paths: Sequence[str]) -> frozenset[int]:
    """Indexes of the wanted ones of `paths`; an empty selection wants all.

    An item is a path below the album folder or a pattern (`*.flac`, `CD 2/*`), case ignored.
    Raises UsageError for an item that fits no file, naming a few that there are.
    """
    if not selection:
        return frozenset(range(len(paths)))
    folded = [path.casefold() for path in paths]
    wanted: set[int] = set()
    for item in selection:
        key = item.casefold()
        # A path as it is first: names may have brackets in them.
        fitting = {i for i, path in enumerate(folded) if path == key} or {
            i for i, path in enumerate(folded) if fnmatchcase(path, key)
        }
        if not fitting:
            some = ", ".join(repr(path) for path in paths[:3])
            raise UsageError(f"{name}: no file fits {item!r}; it has {some}, …")
        wanted |= fitting
    return frozenset(wanted)
