"""Licences: who holds them, and the certificates issued for them."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord, LicenceState
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import Album, TorrentName, split_torrent_name
from licensing.books import events
from licensing.books.sql import Sql, from_ms, to_ms
from licensing.ledger import HeldLicence, IssuedNodeCertificate, LeafT
from licensing.refusal import Refusal

_RECORDS = (
    "SELECT l.licence_id, l.name, r.info_hash, r.size_bytes, r.album, l.granted_at,"
    " COALESCE(l.revoked_at, p.revoked_at)"
    " FROM licences l JOIN purchases p ON p.purchase_id = l.purchase_id"
    " JOIN releases r ON r.name = l.name"
)
_ORDER = " ORDER BY l.granted_at, p.purchase_id, l.position"


def purchase_licences(sql: Sql, purchase_id: int) -> tuple[LicenceRecord, ...]:
    """Every licence of a purchase, in the token's order."""
    found = sql.rows(_RECORDS + " WHERE p.purchase_id = ?" + _ORDER, purchase_id)
    return tuple(_record(row) for row in found)


def licence(sql: Sql, licence_id: str) -> LicenceRecord:
    """One licence that is in the books."""
    (found,) = sql.rows(_RECORDS + " WHERE l.licence_id = ?", licence_id)
    return _record(found)


def library(sql: Sql, device_id: str) -> tuple[LicenceRecord, ...]:
    """See `Ledger.library`."""
    found = sql.rows(
        _RECORDS
        + " JOIN devices d ON d.purchase_id = p.purchase_id WHERE d.device_id = ?"
        + _ORDER,
        device_id,
    )
    return tuple(_record(row) for row in found)


def _record(row: tuple[Any, ...]) -> LicenceRecord:
    licence_id, name, info_hash, size_bytes, album, granted_at, revoked_at = row
    release_id, audio_format = split_torrent_name(name)
    return LicenceRecord(
        licence_id=licence_id,
        release_id=release_id,
        format=audio_format,
        name=name,
        info_hash=info_hash,
        size_bytes=size_bytes,
        album=msgspec.json.decode(album, type=Album),
        state=LicenceState.ACTIVE if revoked_at is None else LicenceState.REVOKED,
        granted_at=from_ms(granted_at),
    )


def held_licence(sql: Sql, licence_id: LicenceId, device_id: str) -> HeldLicence:
    """See `Ledger.held_licence`."""
    found = sql.rows(
        "SELECT l.name, r.info_hash, COALESCE(l.revoked_at, p.revoked_at), d.position,"
        " p.device_limit FROM licences l JOIN purchases p ON p.purchase_id = l.purchase_id"
        " JOIN releases r ON r.name = l.name"
        " JOIN devices d ON d.purchase_id = p.purchase_id AND d.device_id = ?"
        " WHERE l.licence_id = ?",
        device_id,
        licence_id,
    )
    if not found:  # also for a licence of somebody else: who holds what is nobody's business
        raise Refusal(ProblemType.UNKNOWN_LICENCE, "this device holds no such licence")
    name, info_hash, revoked_at, position, device_limit = found[0]
    if revoked_at is not None:
        raise Refusal(ProblemType.LICENCE_REVOKED, f"the licence for {name} was revoked")
    if position > device_limit:
        raise Refusal(
            ProblemType.DEVICE_LIMIT_REACHED,
            f"this device is number {position} of the purchase, and {device_limit} are allowed",
        )
    return HeldLicence(licence_id, TorrentName(name), InfoHash.from_hex(info_hash))


def issue_certificate(
    sql: Sql,
    licence_id: LicenceId,
    device_id: str,
    make: Callable[[HeldLicence], LeafT],
    *,
    limit: int,
    now: dt.datetime,
) -> LeafT:
    """See `Ledger.issue_certificate`.

    Looked up, made and recorded in the writer's one transaction: with a read beforehand, in a
    thread of its own, a certificate costs 1.4 ms of CPU instead of 1.0.
    """
    held = held_licence(sql, licence_id, device_id)
    _require_within_limit(sql, licence_id, device_id, limit, now)
    leaf = make(held)
    serial, not_after = _serial_text(leaf.serial_number), to_ms(leaf.not_valid_after_utc)
    sql.rows(
        "INSERT INTO certificates (serial, licence_id, device_id, not_after) VALUES (?, ?, ?, ?)",
        serial,
        licence_id,
        device_id,
        not_after,
    )
    events.append(sql, events.CertificateIssued(serial, licence_id, device_id, not_after), now)
    return leaf


def _require_within_limit(
    sql: Sql, licence_id: LicenceId, device_id: str, limit: int, now: dt.datetime
) -> None:
    # Licence certificates live for 24 hours, so the unexpired ones are those of the last 24.
    full = sql.rows(
        "SELECT not_after FROM certificates WHERE licence_id = ? AND device_id = ?"
        " AND not_after > ? ORDER BY not_after DESC LIMIT 1 OFFSET ?",
        licence_id,
        device_id,
        to_ms(now),
        limit - 1,
    )
    if full:
        wait_s = -(-(int(full[0][0]) - to_ms(now)) // 1000)
        raise Refusal(
            ProblemType.TOO_MANY_REQUESTS,
            f"this device got {limit} certificates for this licence within 24 hours",
            reason="certificates",
            retry_after_s=wait_s,
        )


def record_node_certificate(sql: Sql, certificate: IssuedNodeCertificate, now: dt.datetime) -> None:
    """See `Ledger.record_node_certificate`."""
    standing = sql.rows(
        "SELECT 1 FROM api_keys WHERE key_hash = ? AND revoked_at IS NULL", certificate.key_hash
    )
    if not standing:
        raise Refusal(ProblemType.API_KEY_REFUSED, "the API key was revoked")
    serial, not_after = _serial_text(certificate.serial), to_ms(certificate.not_after)
    sql.rows(
        "INSERT INTO certificates (serial, key_hash, not_after) VALUES (?, ?, ?)",
        serial,
        certificate.key_hash,
        not_after,
    )
    events.append(sql, events.NodeCertificateIssued(serial, certificate.key_hash, not_after), now)


def _serial_text(serial: int) -> str:
    # 159 random bits (RFC 5280 allows 20 octets): no integer column holds them.
    return f"{serial:040x}"
