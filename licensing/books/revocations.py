"""Revocations of purchases, licences and API keys, and what the CRL must list."""

import datetime as dt

from client_lib.wire.licence import LicenceId
from client_lib.wire.problem import ProblemType
from licensing.books import events
from licensing.books.sql import Sql, from_ms, to_ms
from licensing.ledger import RevokedCertificate
from licensing.refusal import Refusal

_REVOCATIONS = "revocations"
_CRL_NUMBER = "crl-number"


def revoke_purchase(sql: Sql, store: str, purchase: str, reason: str, now: dt.datetime) -> int:
    """See `Ledger.revoke_purchase`."""
    known = sql.rows(
        "SELECT purchase_id, revoked_at FROM purchases WHERE store = ? AND purchase = ?",
        store,
        purchase,
    )
    if not known:
        raise Refusal(
            ProblemType.UNKNOWN_LICENCE, f"store {store} has no redeemed purchase {purchase}"
        )
    purchase_id, revoked_at = known[0]
    if revoked_at is None:
        # The licences' state follows from the purchase's, so that a refund can be taken back
        # without reviving a licence that was revoked by itself.
        sql.rows(
            "UPDATE purchases SET revoked_at = ? WHERE purchase_id = ?", to_ms(now), purchase_id
        )
        events.append(sql, events.PurchaseRevoked(store, purchase, reason), now)
        _count(sql, _REVOCATIONS)
    ((licences,),) = sql.rows("SELECT COUNT(*) FROM licences WHERE purchase_id = ?", purchase_id)
    return int(licences)


def revoke_licence(sql: Sql, licence_id: LicenceId, reason: str, now: dt.datetime) -> None:
    """See `Ledger.revoke_licence`."""
    known = sql.rows("SELECT revoked_at FROM licences WHERE licence_id = ?", licence_id)
    if not known:
        raise Refusal(ProblemType.UNKNOWN_LICENCE, f"there is no licence {licence_id}")
    if known[0][0] is not None:
        return
    sql.rows("UPDATE licences SET revoked_at = ? WHERE licence_id = ?", to_ms(now), licence_id)
    events.append(sql, events.LicenceRevoked(licence_id, reason), now)
    _count(sql, _REVOCATIONS)


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
    _count(sql, _REVOCATIONS)
    return len(revoked)


def revocation_sequence(sql: Sql) -> int:
    """See `Ledger.revocation_sequence`."""
    found = sql.rows("SELECT value FROM counters WHERE name = ?", _REVOCATIONS)
    return int(found[0][0]) if found else 0


def next_crl_number(sql: Sql) -> int:
    """See `Ledger.next_crl_number`."""
    return _count(sql, _CRL_NUMBER)


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
        *(to_ms(now),) * 3,
    )
    return tuple(RevokedCertificate(int(serial, 16), from_ms(at)) for serial, at in found)


def _count(sql: Sql, name: str) -> int:
    ((value,),) = sql.rows(
        "INSERT INTO counters (name, value) VALUES (?, 1)"
        " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        name,
    )
    return int(value)
