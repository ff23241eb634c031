"""Schema of the SQLite ledger, step by step. A step that was released never changes."""

import contextlib

from sqlite_utils import Database, Migrations

migrations = Migrations("licensing")


def schema_steps() -> tuple[str, ...]:
    """Names of all steps, in order; PostgreSQL's are the same."""
    with contextlib.closing(Database(memory=True, execute_plugins=False)) as empty:
        return tuple(step.name for step in migrations.pending(empty))


_FIRST = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER events_stay BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TABLE releases (
    sequence INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    info_hash TEXT NOT NULL,
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    album TEXT NOT NULL,
    published_at INTEGER NOT NULL
) STRICT;
CREATE TABLE torrents (
    name TEXT PRIMARY KEY REFERENCES releases (name),
    torrent BLOB NOT NULL
) STRICT;

CREATE TABLE purchases (
    purchase_id INTEGER PRIMARY KEY,
    store TEXT NOT NULL,
    purchase TEXT NOT NULL,
    subject TEXT NOT NULL,
    device_limit INTEGER NOT NULL CHECK (device_limit >= 1),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    UNIQUE (store, purchase)
) STRICT;
CREATE INDEX purchases_revoked ON purchases (purchase_id) WHERE revoked_at IS NOT NULL;

CREATE TABLE licences (
    licence_id TEXT PRIMARY KEY,
    purchase_id INTEGER NOT NULL REFERENCES purchases (purchase_id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL REFERENCES releases (name),
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    currency TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    revoked_at INTEGER,
    UNIQUE (purchase_id, name)
) STRICT;
CREATE INDEX licences_revoked ON licences (licence_id) WHERE revoked_at IS NOT NULL;

CREATE TABLE tokens (
    store TEXT NOT NULL,
    token_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    purchase_id INTEGER NOT NULL REFERENCES purchases (purchase_id),
    device_id TEXT NOT NULL,
    redeemed_at INTEGER NOT NULL,
    PRIMARY KEY (store, token_id)
) STRICT;

CREATE TABLE devices (
    device_id TEXT NOT NULL,
    purchase_id INTEGER NOT NULL REFERENCES purchases (purchase_id),
    position INTEGER NOT NULL,
    attached_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, purchase_id),
    UNIQUE (purchase_id, position)
) STRICT;

CREATE TABLE api_keys (
    key_hash TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    role TEXT NOT NULL,
    hosts TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_id ON api_keys (key_id);

CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,
    licence_id TEXT REFERENCES licences (licence_id),
    device_id TEXT,
    key_hash TEXT REFERENCES api_keys (key_hash),
    not_after INTEGER NOT NULL,
    CHECK ((licence_id IS NULL) = (device_id IS NULL)),
    CHECK ((licence_id IS NULL) <> (key_hash IS NULL))
) STRICT;
CREATE INDEX certificates_of_licence ON certificates (licence_id, not_after)
    WHERE licence_id IS NOT NULL;
CREATE INDEX certificates_of_key ON certificates (key_hash, not_after)
    WHERE key_hash IS NOT NULL;

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
"""


@migrations()
def first_tables(db: Database) -> None:
    """Everything that issue of licences, certificates and revocations needs."""
    db.executescript(_FIRST)


_MONEY = """
CREATE TABLE accounts (
    store TEXT NOT NULL,
    subject TEXT NOT NULL,
    currency TEXT NOT NULL,
    balance_minor INTEGER NOT NULL CHECK (balance_minor >= 0),
    shortfall_minor INTEGER NOT NULL DEFAULT 0 CHECK (shortfall_minor >= 0),
    PRIMARY KEY (store, subject, currency)
) STRICT;

CREATE TABLE topups (
    purchase_id INTEGER PRIMARY KEY REFERENCES purchases (purchase_id),
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    currency TEXT NOT NULL
) STRICT;

CREATE TABLE orders (
    device_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    licence_id TEXT NOT NULL REFERENCES licences (licence_id),
    currency TEXT NOT NULL,
    charged_minor INTEGER NOT NULL CHECK (charged_minor >= 0),
    balance_minor INTEGER NOT NULL CHECK (balance_minor >= 0),
    owned INTEGER NOT NULL CHECK (owned IN (0, 1)),
    ordered_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, idempotency_key)
) STRICT;

CREATE TABLE withheld (
    store TEXT NOT NULL,
    purchase TEXT NOT NULL,
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (store, purchase)
) STRICT;

CREATE TABLE revocation_tokens (
    store TEXT NOT NULL,
    token_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    purchase TEXT NOT NULL,
    cause TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (store, token_id)
) STRICT;

CREATE TABLE refunds (
    purchase_id INTEGER NOT NULL REFERENCES purchases (purchase_id),
    position INTEGER NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('refund', 'chargeback', 'reinstate')),
    at INTEGER NOT NULL,
    PRIMARY KEY (purchase_id, position)
) STRICT;
CREATE INDEX refunds_by_time ON refunds (at);
INSERT INTO refunds (purchase_id, position, cause, at)
    SELECT purchase_id, 1, 'refund', revoked_at FROM purchases WHERE revoked_at IS NOT NULL;

CREATE TABLE rights (
    name TEXT NOT NULL REFERENCES releases (name),
    version INTEGER NOT NULL CHECK (version >= 1),
    holders TEXT NOT NULL,
    assigned_at INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

ALTER TABLE purchases ADD COLUMN from_credit INTEGER NOT NULL DEFAULT 0
    CHECK (from_credit IN (0, 1));
CREATE INDEX purchases_of_customer ON purchases (store, subject);
ALTER TABLE licences ADD COLUMN rights_version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX licences_by_time ON licences (granted_at);
ALTER TABLE releases ADD COLUMN rights_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN release_id TEXT NOT NULL DEFAULT '';
UPDATE releases SET release_id = substr(name, 1, instr(name, '.') - 1);
CREATE INDEX releases_by_id ON releases (release_id);
"""


@migrations()
def credit_and_royalties(db: Database) -> None:
    """Prepaid credit, refunds that can be taken back, and rights holders.

    `rights_version` 0 is the default: the whole to the release's artist.
    """
    db.executescript(_MONEY)
