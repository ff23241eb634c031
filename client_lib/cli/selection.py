"""Which licences a person means by a name, and how a person reads one."""

from collections.abc import Sequence

from client_lib.console import printable
from client_lib.errors import UsageError
from client_lib.wire.licensing_api import LicenceRecord


def title(licence: LicenceRecord) -> str:
    """Artist and album of a licence, safe for a terminal."""
    return printable(f"{licence.album.artist} - {licence.album.title}")


def select(licences: Sequence[LicenceRecord], names: Sequence[str]) -> list[LicenceRecord]:
    """Licences named by torrent name, release id or licence id, in the order named.

    Raises UsageError for a name that fits none, or a release id that fits several formats.
    """
    chosen: dict[str, LicenceRecord] = {}
    for name in names:
        fitting = [
            licence
            for licence in licences
            if name in (licence.name, licence.licence_id, licence.release_id)
        ]
        exact = [licence for licence in fitting if name != licence.release_id] or fitting
        if not exact:
            raise UsageError(f"no licence for {name!r}: `albumswarm list` shows what you have")
        formats = {licence.name for licence in exact}
        if len(formats) > 1:
            raise UsageError(f"{name!r} is owned in several formats: {', '.join(sorted(formats))}")
        chosen[exact[0].licence_id] = exact[0]
    return list(chosen.values())
