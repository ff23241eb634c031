"""Revocations of licences and API keys, and what the CRL must list; `refunds` has purchases."""

import datetime as dt

from client_lib.wire.licence import LicenceId
from client_lib.wire.problem import ProblemType
from licensing.books import events
from licensing.books.sql import Sql, from_ms, to_ms
from licensing.ledger import RevokedCertificate
from licensing.refusal import Refusal

LISTED_AFTER_END = dt.timedelta(hours=1)
"""A certificate stays on the CRL for so long after its end: on a clock that is slow it goes on, and
trackers are served clocks that are an hour off."""
_REVOCATIONS = "revocations"
_CRL_NUMBER = "crl-number"


def revoke_licence(sql: Sql, licence_id: LicenceId, reason: str, now: dt.datetime) -> None:
    """See `Ledger.revoke_licence`."""
    if _is_revoked(sql, licence_id):
        return
    sql.rows("UPDATE licences SET revoked_at = ? WHERE licence_id = ?", to_ms(now), licence_id)
    events.append(sql, events.LicenceRevoked(licence_id, reason), now)
    count_revocation(sql)


def reinstate_licence(sql: Sql, licence_id: LicenceId, reason: str, now: dt.datetime) -> None:
    """See `Ledger.reinstate_licence`."""
    if not _is_revoked(sql, licence_id):
        return
    sql.rows("UPDATE licences SET revoked_at = NULL WHERE licence_id = ?", licence_id)
    events.append(sql, events.LicenceReinstated(licence_id, reason), now)
    count_revocation(sql)


def _is_revoked(sql: Sql, licence_id: LicenceId) -> bool:
    known = sql.rows("SELECT revoked_at FROM licences WHERE licence_id = ?", licence_id)
    if not known:
        raise Refusal(ProblemType.UNKNOWN_LICENCE, f"there is no licence {licence_id}")
    return known[0][0] is not None


def revoke_api_key(sql: Sql, key_id: str, now: dt.datetime) -> int:
    """See `Ledger.revoke_api_key`."""
    revoked = sql.rows(
        "UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL"
        " RETURNING key_hash",
        to_ms(now),
        key_id,
    )
    if not revoked:
        raise Refusal(ProblemType.API_KEY_REFUSED, f"there is no valid API key of {key_id}")
    events.append(sql, events.ApiKeyRevoked(key_id), now)
    count_revocation(sql)
    return len(revoked)


def count_revocation(sql: Sql) -> None:
    """Make the CRL out of date."""
    _count(sql, _REVOCATIONS)


def revocation_sequence(sql: Sql) -> int:
    """See `Ledger.revocation_sequence`."""
    found = sql.rows("SELECT value FROM counters WHERE name = ?", _REVOCATIONS)
    return int(found[0][0]) if found else 0


def next_crl_number(sql: Sql, now: dt.datetime) -> int:
    """See `Ledger.next_crl_number`."""
    number = _count(sql, _CRL_NUMBER)
    events.append(sql, events.CrlNumbered(number), now)
    return number


def revoked_certificates(sql: Sql, now: dt.datetime) -> tuple[RevokedCertificate, ...]:
    """See `Ledger.revoked_certificates`."""
    # Three ways in, each from the revoked few to their certificates by an index.
    found = sql.rows(
        "SELECT serial, MIN(revoked_at) FROM ("
        " SELECT c.serial, l.revoked_at FROM licences l"
        " JOIN certificates c ON c.licence_id = l.licence_id"
        " WHERE l.revoked_at IS NOT NULL AND c.not_after > ?"
        " UNION ALL SELECT c.serial, p.revoked_at FROM purchases p"
        " JOIN licences l ON l.purchase_id = p.purchase_id"
        " JOIN certificates c ON c.licence_id = l.licence_id"
        " WHERE p.revoked_at IS NOT NULL AND c.not_after > ?"
        " UNION ALL SELECT c.serial, k.revoked_at FROM api_keys k"
        " JOIN certificates c ON c.key_hash = k.key_hash"
        " WHERE k.revoked_at IS NOT NULL AND c.not_after > ?"
        ") revoked GROUP BY serial ORDER BY serial",
        *(to_ms(now - LISTED_AFTER_END),) * 3,
    )
    return tuple(RevokedCertificate(int(serial, 16), from_ms(at)) for serial, at in found)


def _count(sql: Sql, name: str) -> int:
    ((value,),) = sql.rows(
        "INSERT INTO counters (name, value) VALUES (?, 1)"
        " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        name,
    )
    return int(value)
