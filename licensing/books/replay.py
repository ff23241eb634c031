"""Replay: what the state must be, from the events alone.

One handler an event kind. They know nothing of the rules that decided whether an event may
happen, only what it changed: so they find what the rules' own code wrote wrongly, too.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from client_lib.wire.release import parse_torrent_name, split_torrent_name
from licensing.books import events
from licensing.books.replayed import (
    ACCOUNT,
    PURCHASE,
    as_json,
    attach,
    change_account,
    count,
    grant,
    insert,
    open_purchase,
    purchase_of,
    remember_order,
    require_rows,
    settle,
    spend_token,
)
from licensing.books.sql import Sql

_decoder = msgspec.json.Decoder(events.Event)


def parse(body: str, kind: str) -> events.Event:
    """The event of a row. Raises ValueError."""
    event: events.Event = _decoder.decode(body)
    if event.__struct_config__.tag != kind:
        raise ValueError(f"its body is of kind {event.__struct_config__.tag}")
    return event


def apply(sql: Sql, event: events.Event, at: int) -> None:
    """Change the state as the event did at `at` (milliseconds).

    Raises ValueError and StorageError if it does not fit the events before it.
    """
    HANDLERS[type(event)](sql, event, at)


def _sale(sql: Sql, event: events.Sale, at: int) -> None:
    purchase_id = open_purchase(sql, event, at)
    for position, line in enumerate(event.lines):
        grant(sql, purchase_id, position, line, at)
    spend_token(sql, event, purchase_id, at)


def _device_attached(sql: Sql, event: events.DeviceAttached, at: int) -> None:
    purchase_id = purchase_of(sql, event.store, event.purchase)
    attach(sql, purchase_id, event.device_id, at)
    sql.rows(
        "UPDATE purchases SET device_limit = ? WHERE purchase_id = ?",
        event.device_limit,
        purchase_id,
    )
    spend_token(sql, event, purchase_id, at)


def _credit_added(sql: Sql, event: events.CreditAdded, at: int) -> None:
    purchase_id = open_purchase(sql, event, at)
    insert(
        sql,
        "topups",
        purchase_id=purchase_id,
        amount_minor=event.amount_minor,
        currency=event.currency,
    )
    account = (event.store, event.subject, event.currency)
    if not sql.rows(ACCOUNT, *account):
        insert(
            sql,
            "accounts",
            store=event.store,
            subject=event.subject,
            currency=event.currency,
            balance_minor=0,
            shortfall_minor=0,
        )
    change_account(sql, account, event.amount_minor, 0)
    spend_token(sql, event, purchase_id, at)


def _bought(sql: Sql, event: events.Bought, at: int) -> None:
    purchase_id = open_purchase(sql, event, at, from_credit=1)
    grant(sql, purchase_id, 0, event.line, at)
    account = (event.store, event.subject, event.line.currency)
    balance = change_account(sql, account, -event.line.amount_minor, 0)
    if balance != event.balance_minor:
        raise ValueError(f"it leaves {event.balance_minor}, but {balance} by the events before it")
    remember_order(
        sql, event, at, event.line.licence_id, event.line.currency, event.line.amount_minor
    )


def _already_owned(sql: Sql, event: events.AlreadyOwned, at: int) -> None:
    ((purchase_id,),) = require_rows(
        sql, "SELECT purchase_id FROM licences WHERE licence_id = ?", event.licence_id
    )
    attach(sql, purchase_id, event.device_id, at)
    remember_order(sql, event, at, event.licence_id, event.currency, None)


def _certificate(sql: Sql, event: events.CertificateIssued, _at: int) -> None:
    insert(
        sql,
        "certificates",
        serial=event.serial,
        licence_id=event.licence_id,
        device_id=event.device_id,
        not_after=event.not_after,
    )


def _node_certificate(sql: Sql, event: events.NodeCertificateIssued, _at: int) -> None:
    insert(
        sql,
        "certificates",
        serial=event.serial,
        key_hash=event.key_hash,
        not_after=event.not_after,
    )


def _release(sql: Sql, event: events.ReleasePublished, at: int) -> None:
    ((sequence,),) = sql.rows("SELECT COALESCE(MAX(sequence), 0) + 1 FROM releases")
    release_id, _ = split_torrent_name(parse_torrent_name(event.name))
    insert(
        sql,
        "releases",
        sequence=sequence,
        name=event.name,
        release_id=release_id,
        info_hash=event.info_hash,
        size_bytes=event.size_bytes,
        album=as_json(event.album),
        published_at=at,
    )
    # In the torrent's place its hash: the log has no more.
    insert(sql, "torrents", name=event.name, torrent=bytes.fromhex(event.torrent))


def _rights(sql: Sql, event: events.RightsAssigned, at: int) -> None:
    insert(
        sql,
        "rights",
        name=event.name,
        version=event.version,
        holders=as_json(event.holders),
        assigned_at=at,
    )
    sql.rows("UPDATE releases SET rights_version = ? WHERE name = ?", event.version, event.name)


def _revocation(sql: Sql, event: events.RevocationReceived, at: int) -> None:
    insert(
        sql,
        "revocation_tokens",
        store=event.store,
        token_id=event.token_id,
        digest=event.digest,
        purchase=event.purchase,
        cause=event.cause,
        received_at=at,
    )


def _purchase_revoked(sql: Sql, event: events.PurchaseRevoked, at: int) -> None:
    known = sql.rows(PURCHASE, event.store, event.purchase)
    if not known:
        insert(sql, "withheld", store=event.store, purchase=event.purchase, revoked_at=at)
        return
    ((purchase_id,),) = known
    sql.rows("UPDATE purchases SET revoked_at = ? WHERE purchase_id = ?", at, purchase_id)
    settle(sql, purchase_id, event, event.cause, at)


def _purchase_reinstated(sql: Sql, event: events.PurchaseReinstated, at: int) -> None:
    known = sql.rows(PURCHASE, event.store, event.purchase)
    if not known:
        sql.rows(
            "DELETE FROM withheld WHERE store = ? AND purchase = ?", event.store, event.purchase
        )
        return
    ((purchase_id,),) = known
    sql.rows("UPDATE purchases SET revoked_at = NULL WHERE purchase_id = ?", purchase_id)
    settle(sql, purchase_id, event, "reinstate", at)


def _licence_revoked(sql: Sql, event: events.LicenceRevoked, at: int) -> None:
    sql.rows("UPDATE licences SET revoked_at = ? WHERE licence_id = ?", at, event.licence_id)
    count(sql, "revocations")


def _licence_reinstated(sql: Sql, event: events.LicenceReinstated, _at: int) -> None:
    sql.rows("UPDATE licences SET revoked_at = NULL WHERE licence_id = ?", event.licence_id)
    count(sql, "revocations")


def _api_key(sql: Sql, event: events.ApiKeyAdded, at: int) -> None:
    insert(
        sql,
        "api_keys",
        key_hash=event.key_hash,
        key_id=event.key_id,
        role=event.role,
        hosts=as_json(event.hosts),
        created_at=at,
    )


def _api_key_revoked(sql: Sql, event: events.ApiKeyRevoked, at: int) -> None:
    sql.rows(
        "UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL",
        at,
        event.key_id,
    )
    count(sql, "revocations")


def _crl(sql: Sql, event: events.CrlNumbered, _at: int) -> None:
    if count(sql, "crl-number") != event.number:
        raise ValueError(f"CRL number {event.number} is not the next one")


HANDLERS: Mapping[type, Callable[[Sql, Any, int], None]] = {
    events.Sale: _sale,
    events.DeviceAttached: _device_attached,
    events.CreditAdded: _credit_added,
    events.Bought: _bought,
    events.AlreadyOwned: _already_owned,
    events.CertificateIssued: _certificate,
    events.NodeCertificateIssued: _node_certificate,
    events.ReleasePublished: _release,
    events.RightsAssigned: _rights,
    events.RevocationReceived: _revocation,
    events.PurchaseRevoked: _purchase_revoked,
    events.PurchaseReinstated: _purchase_reinstated,
    events.LicenceRevoked: _licence_revoked,
    events.LicenceReinstated: _licence_reinstated,
    events.ApiKeyAdded: _api_key,
    events.ApiKeyRevoked: _api_key_revoked,
    events.CrlNumbered: _crl,
}
