"""JSON Web Key Sets (RFC 7517) of Ed25519 keys (RFC 8037), as stores publish them."""

import base64
import binascii
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_lib.errors import WireError
from client_lib.wire.not_json import NOT_JSON

MAX_JWKS_BYTES = 256 << 10
_MAX_KEYS = 100


class JwksError(WireError):
    """Not a JSON Web Key Set that we may use; the message says why, never a key."""


class _Key(msgspec.Struct, frozen=True):
    kty: str
    crv: str = ""
    kid: str = ""
    use: str = "sig"
    alg: str = "EdDSA"
    x: str = ""
    d: object = None


class _Set(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


def parse_jwks(document: bytes) -> Mapping[str, Ed25519PublicKey]:
    """Ed25519 signature keys by `kid`. Keys of other kinds are skipped (RFC 7517, section 5).

    Raises JwksError for anything malformed, a private key, a `kid` used twice, or a set without
    any key for us: a store that takes its only key away has an accident more likely than a plan.
    """
    try:
        entries = msgspec.json.decode(document[: MAX_JWKS_BYTES + 1], type=_Set).keys
    except NOT_JSON as error:
        raise JwksError("the key set is not a JSON Web Key Set") from error
    if len(entries) > _MAX_KEYS:
        raise JwksError(f"the key set has more than {_MAX_KEYS} keys")
    keys: dict[str, Ed25519PublicKey] = {}
    for entry in entries:
        key = _key(bytes(entry))
        if key is None or (key.kty, key.crv, key.use) != ("OKP", "Ed25519", "sig"):
            continue
        if key.alg not in ("EdDSA", "Ed25519") or not key.kid:
            continue
        if key.kid in keys:
            raise JwksError(f"the key set has two keys of kid {key.kid[:100]!r}")
        keys[key.kid] = _public_key(key)
    if not keys:
        raise JwksError("the key set has no Ed25519 signature key with a kid")
    return keys


def _key(entry: bytes) -> _Key | None:
    try:
        key = msgspec.json.decode(entry, type=_Key)
    except NOT_JSON:
        return None  # no key of ours: theirs may have members of other types
    if key.d is not None:
        raise JwksError("the key set has a private key in it: whoever reads it can sign")
    return key


def _public_key(key: _Key) -> Ed25519PublicKey:
    try:
        raw = base64.b64decode(key.x + "=" * (-len(key.x) % 4), altchars=b"-_", validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, binascii.Error) as error:
        raise JwksError(f"key {key.kid[:100]!r} of the key set is no Ed25519 key") from error
