"""Schema of the PostgreSQL ledger: the steps of `migrations_sqlite`, under the same names.

Same tables, columns, keys and indexes (a test compares them), so that a backup of one store
restores into the other. Text is compared byte by byte (`COLLATE "C"`), as SQLite does. A step
that was released never changes.
"""

_FIRST = """
CREATE TABLE events (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL
);
CREATE FUNCTION events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$;
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_are_append_only();
CREATE TRIGGER events_remain BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_append_only();

CREATE TABLE releases (
    sequence BIGINT PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    info_hash TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL CHECK (size_bytes >= 0),
    album TEXT COLLATE "C" NOT NULL,
    published_at BIGINT NOT NULL
);
CREATE TABLE torrents (
    name TEXT COLLATE "C" PRIMARY KEY REFERENCES releases (name),
    torrent BYTEA NOT NULL
);

CREATE TABLE purchases (
    purchase_id BIGINT PRIMARY KEY,
    store TEXT COLLATE "C" NOT NULL,
    purchase TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    device_limit BIGINT NOT NULL CHECK (device_limit >= 1),
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    UNIQUE (store, purchase)
);
CREATE INDEX purchases_revoked ON purchases (purchase_id) WHERE revoked_at IS NOT NULL;

CREATE TABLE licences (
    licence_id TEXT COLLATE "C" PRIMARY KEY,
    purchase_id BIGINT NOT NULL REFERENCES purchases (purchase_id),
    position BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL REFERENCES releases (name),
    amount_minor BIGINT NOT NULL CHECK (amount_minor >= 0),
    currency TEXT COLLATE "C" NOT NULL,
    granted_at BIGINT NOT NULL,
    revoked_at BIGINT,
    UNIQUE (purchase_id, name)
);
CREATE INDEX licences_revoked ON licences (licence_id) WHERE revoked_at IS NOT NULL;

CREATE TABLE tokens (
    store TEXT COLLATE "C" NOT NULL,
    token_id TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    purchase_id BIGINT NOT NULL REFERENCES purchases (purchase_id),
    device_id TEXT COLLATE "C" NOT NULL,
    redeemed_at BIGINT NOT NULL,
    PRIMARY KEY (store, token_id)
);

CREATE TABLE devices (
    device_id TEXT COLLATE "C" NOT NULL,
    purchase_id BIGINT NOT NULL REFERENCES purchases (purchase_id),
    position BIGINT NOT NULL,
    attached_at BIGINT NOT NULL,
    PRIMARY KEY (device_id, purchase_id),
    UNIQUE (purchase_id, position)
);

CREATE TABLE api_keys (
    key_hash TEXT COLLATE "C" PRIMARY KEY,
    key_id TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    hosts TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX api_keys_by_id ON api_keys (key_id);

CREATE TABLE certificates (
    serial TEXT COLLATE "C" PRIMARY KEY,
    licence_id TEXT COLLATE "C" REFERENCES licences (licence_id),
    device_id TEXT COLLATE "C",
    key_hash TEXT COLLATE "C" REFERENCES api_keys (key_hash),
    not_after BIGINT NOT NULL,
    CHECK ((licence_id IS NULL) = (device_id IS NULL)),
    CHECK ((licence_id IS NULL) <> (key_hash IS NULL))
);
CREATE INDEX certificates_of_licence ON certificates (licence_id, not_after)
    WHERE licence_id IS NOT NULL;
CREATE INDEX certificates_of_key ON certificates (key_hash, not_after)
    WHERE key_hash IS NOT NULL;

CREATE TABLE counters (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
"""

_MONEY = """
CREATE TABLE accounts (
    store TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    balance_minor BIGINT NOT NULL CHECK (balance_minor >= 0),
    shortfall_minor BIGINT NOT NULL DEFAULT 0 CHECK (shortfall_minor >= 0),
    PRIMARY KEY (store, subject, currency)
);

CREATE TABLE topups (
    purchase_id BIGINT PRIMARY KEY REFERENCES purchases (purchase_id),
    amount_minor BIGINT NOT NULL CHECK (amount_minor >= 0),
    currency TEXT COLLATE "C" NOT NULL
);

CREATE TABLE orders (
    device_id TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    licence_id TEXT COLLATE "C" NOT NULL REFERENCES licences (licence_id),
    currency TEXT COLLATE "C" NOT NULL,
    charged_minor BIGINT NOT NULL CHECK (charged_minor >= 0),
    balance_minor BIGINT NOT NULL CHECK (balance_minor >= 0),
    owned BIGINT NOT NULL CHECK (owned IN (0, 1)),
    ordered_at BIGINT NOT NULL,
    PRIMARY KEY (device_id, idempotency_key)
);

CREATE TABLE withheld (
    store TEXT COLLATE "C" NOT NULL,
    purchase TEXT COLLATE "C" NOT NULL,
    revoked_at BIGINT NOT NULL,
    PRIMARY KEY (store, purchase)
);

CREATE TABLE revocation_tokens (
    store TEXT COLLATE "C" NOT NULL,
    token_id TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    purchase TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (store, token_id)
);

CREATE TABLE refunds (
    purchase_id BIGINT NOT NULL REFERENCES purchases (purchase_id),
    position BIGINT NOT NULL,
    cause TEXT COLLATE "C" NOT NULL CHECK (cause IN ('refund', 'chargeback', 'reinstate')),
    at BIGINT NOT NULL,
    PRIMARY KEY (purchase_id, position)
);
CREATE INDEX refunds_by_time ON refunds (at);
INSERT INTO refunds (purchase_id, position, cause, at)
    SELECT purchase_id, 1, 'refund', revoked_at FROM purchases WHERE revoked_at IS NOT NULL;

CREATE TABLE rights (
    name TEXT COLLATE "C" NOT NULL REFERENCES releases (name),
    version BIGINT NOT NULL CHECK (version >= 1),
    holders TEXT COLLATE "C" NOT NULL,
    assigned_at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);

ALTER TABLE purchases ADD COLUMN from_credit BIGINT NOT NULL DEFAULT 0
    CHECK (from_credit IN (0, 1));
CREATE INDEX purchases_of_customer ON purchases (store, subject);
ALTER TABLE licences ADD COLUMN rights_version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX licences_by_time ON licences (granted_at);
ALTER TABLE releases ADD COLUMN rights_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN release_id TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE releases SET release_id = split_part(name, '.', 1);
CREATE INDEX releases_by_id ON releases (release_id);
"""

STEPS: tuple[tuple[str, str], ...] = (
    ("first_tables", _FIRST),
    ("credit_and_royalties", _MONEY),
)
"""Name and statements of each step; each runs in one transaction."""
