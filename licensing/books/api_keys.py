"""API keys of publishers, seeders and trackers; the ledger holds only their hashes."""

import datetime as dt

import msgspec

from client_lib.wire.problem import ProblemType
from licensing.books import events
from licensing.books.sql import Sql, to_ms
from licensing.ledger import ApiKey, Role
from licensing.refusal import Refusal


def add_api_key(sql: Sql, key: ApiKey, now: dt.datetime) -> None:
    """See `Ledger.add_api_key`."""
    sql.rows(
        "INSERT INTO api_keys (key_hash, key_id, role, hosts, created_at) VALUES (?, ?, ?, ?, ?)",
        key.key_hash,
        key.key_id,
        key.role,
        msgspec.json.encode(key.hosts).decode(),
        to_ms(now),
    )
    events.append(sql, events.ApiKeyAdded(key.key_hash, key.key_id, key.role, key.hosts), now)


def api_key(sql: Sql, key_hash: str) -> ApiKey:
    """See `Ledger.api_key`."""
    found = sql.rows(
        "SELECT key_id, role, hosts FROM api_keys WHERE key_hash = ? AND revoked_at IS NULL",
        key_hash,
    )
    if not found:
        raise Refusal(ProblemType.API_KEY_REFUSED, "the API key is unknown or was revoked")
    key_id, role, hosts = found[0]
    return ApiKey(key_hash, key_id, Role(role), msgspec.json.decode(hosts, type=tuple[str, ...]))
