"""Licence records for tests."""

import datetime as dt

from client_lib.wire.licence import licence_id_from
from client_lib.wire.licensing_api import LicenceRecord, LicenceState
from client_lib.wire.release import Album, TorrentName, parse_torrent_name, split_torrent_name


def licence(
    name: str = "rel-1.flac-24-96",
    *,
    number: int = 1,
    artist: str = "Artist",
    title: str = "Album",
    info_hash: str = "0" * 64,
    state: LicenceState = LicenceState.ACTIVE,
) -> LicenceRecord:
    checked: TorrentName = parse_torrent_name(name)
    release_id, audio_format = split_torrent_name(checked)
    return LicenceRecord(
        licence_id=licence_id_from(number.to_bytes(16, "big")),
        release_id=release_id,
        format=audio_format,
        name=checked,
        info_hash=info_hash,
        size_bytes=1_000,
        album=Album(artist=artist, title=title, year=2026),
        state=state,
        granted_at=dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    )
