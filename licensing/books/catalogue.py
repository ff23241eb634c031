"""The catalogue: releases in the order of their publication."""

import datetime as dt
import hashlib
from typing import Any

import msgspec

from client_lib.wire.licensing_api import CatalogueEntry
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import Album, ReleaseId, TorrentName, split_torrent_name
from client_lib.wire.rights import RightsHolder
from licensing.books import events, royalties
from licensing.books.sql import Sql, from_ms, to_ms
from licensing.ledger import Published, Release
from licensing.refusal import Refusal

_ENTRIES = "SELECT sequence, name, info_hash, size_bytes, album, published_at FROM releases"


def publish(sql: Sql, release: Release, now: dt.datetime) -> Published:
    """See `Ledger.publish`."""
    known = sql.rows(_ENTRIES + " WHERE name = ?", release.name)
    if known:
        entry = _entry(known[0])
        if (entry.info_hash, entry.album) != (release.info_hash.hex, release.album):
            what = "files" if entry.info_hash != release.info_hash.hex else "album description"
            raise Refusal(
                ProblemType.RELEASE_CONFLICT,
                f"{release.name} is already published with other content ({what}); "
                "publish the changed album under another release id",
            )
        _assign_rights(sql, release, now)
        return Published(entry, repeated=True)
    album = msgspec.json.encode(release.album).decode()
    rows = sql.rows(
        "INSERT INTO releases"
        " (sequence, name, release_id, info_hash, size_bytes, album, published_at)"
        " SELECT COALESCE(MAX(sequence), 0) + 1, ?, ?, ?, ?, ?, ? FROM releases"
        " RETURNING sequence, name, info_hash, size_bytes, album, published_at",
        release.name,
        split_torrent_name(release.name)[0],
        release.info_hash.hex,
        release.size_bytes,
        album,
        to_ms(now),
    )
    sql.rows("INSERT INTO torrents (name, torrent) VALUES (?, ?)", release.name, release.torrent)
    events.append(
        sql,
        events.ReleasePublished(
            name=release.name,
            info_hash=release.info_hash.hex,
            size_bytes=release.size_bytes,
            album=release.album,
            torrent=hashlib.sha256(release.torrent).hexdigest(),
        ),
        now,
    )
    _assign_rights(sql, release, now)
    return Published(_entry(rows[0]), repeated=False)


def _assign_rights(sql: Sql, release: Release, now: dt.datetime) -> None:
    """Enter the rights if they are others than the release has; sales keep those they had."""
    if release.rights is None or release.rights == _rights(sql, release.name):
        return
    ((version,),) = sql.rows(
        "UPDATE releases SET rights_version = rights_version + 1 WHERE name = ?"
        " RETURNING rights_version",
        release.name,
    )
    sql.rows(
        "INSERT INTO rights (name, version, holders, assigned_at) VALUES (?, ?, ?, ?)",
        release.name,
        version,
        msgspec.json.encode(release.rights).decode(),
        to_ms(now),
    )
    events.append(sql, events.RightsAssigned(release.name, int(version), release.rights), now)


def _rights(sql: Sql, name: TorrentName) -> tuple[RightsHolder, ...]:
    ((album, holders),) = sql.rows(
        "SELECT r.album, t.holders FROM releases r"
        " LEFT JOIN rights t ON t.name = r.name AND t.version = r.rights_version"
        " WHERE r.name = ?",
        name,
    )
    return royalties.holders_of(holders, album)


def releases(sql: Sql, since: int, limit: int) -> tuple[CatalogueEntry, ...]:
    """See `Ledger.releases`."""
    found = sql.rows(_ENTRIES + " WHERE sequence > ? ORDER BY sequence LIMIT ?", since, limit)
    return tuple(_entry(row) for row in found)


def formats(sql: Sql, release_id: ReleaseId) -> tuple[CatalogueEntry, ...]:
    """See `Ledger.formats`."""
    found = sql.rows(_ENTRIES + " WHERE release_id = ? ORDER BY sequence", release_id)
    if not found:
        raise Refusal(ProblemType.UNKNOWN_RELEASE, f"{release_id} is not published here")
    return tuple(_entry(row) for row in found)


def torrent(sql: Sql, name: TorrentName) -> bytes:
    """See `Ledger.torrent`."""
    found = sql.rows("SELECT torrent FROM torrents WHERE name = ?", name)
    if not found:
        raise Refusal(ProblemType.UNKNOWN_RELEASE, f"{name} is not published here")
    return bytes(found[0][0])


def _entry(row: tuple[Any, ...]) -> CatalogueEntry:
    sequence, name, info_hash, size_bytes, album, published_at = row
    release_id, audio_format = split_torrent_name(name)
    return CatalogueEntry(
        sequence=sequence,
        release_id=release_id,
        format=audio_format,
        name=name,
        info_hash=info_hash,
        size_bytes=size_bytes,
        album=msgspec.json.decode(album, type=Album),
        published_at=from_ms(published_at),
    )
