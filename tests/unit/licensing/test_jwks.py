import base64
import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from licensing.jwks import JwksError, parse_jwks

# RFC 8037, appendix A.2, with a kid.
RFC8037 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "rfc8037",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
THUMBPRINT = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def jwks(*keys: Any) -> bytes:  # noqa: ANN401
    return json.dumps({"keys": keys}).encode()


def test_key_of_rfc_8037_is_read() -> None:
    (key,) = parse_jwks(jwks(RFC8037)).values()
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    assert raw.hex() == THUMBPRINT


def test_keys_of_other_kinds_are_skipped() -> None:
    others: list[Any] = [
        {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": "AA", "y": "AA"},
        RFC8037 | {"crv": "X25519", "kid": "x"},
        RFC8037 | {"use": "enc", "kid": "enc"},
        RFC8037 | {"alg": "ES256", "kid": "alg"},
        {name: value for name, value in RFC8037.items() if name != "kid"},
        {"kty": 7, "kid": "odd"},
        "nonsense",
    ]
    assert set(parse_jwks(jwks(*others, RFC8037, RFC8037 | {"kid": "b", "use": "sig"}))) == {
        "rfc8037",
        "b",
    }


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "not a JSON Web Key Set"),
        (b"[]", "not a JSON Web Key Set"),
        (b'{"keys": 1}', "not a JSON Web Key Set"),
        (b'{"keys": [' + b"[" * 50_000, "not a JSON Web Key Set"),
        (jwks(), "no Ed25519"),
        (jwks(RFC8037, RFC8037), "two keys"),
        (jwks(RFC8037 | {"x": "AAAA"}), "no Ed25519 key"),
        (jwks(RFC8037 | {"x": RFC8037["x"] + "!"}), "no Ed25519 key"),
        (jwks(RFC8037 | {"x": ""}), "no Ed25519 key"),
        (jwks(RFC8037 | {"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}), "private key"),
        (jwks(RFC8037, {"kty": "RSA", "d": "AQAB"}), "private key"),
        (jwks(*({"kty": "x"} for _ in range(101))), "more than 100"),
    ],
)
def test_set_that_may_not_be_used_is_refused_whole(document: bytes, why: str) -> None:
    with pytest.raises(JwksError, match=why) as caught:
        parse_jwks(document)
    assert "nWGxne" not in str(caught.value)


@given(
    st.binary(max_size=200) | st.recursive(st.text(max_size=5), st.lists).map(msgspec.json.encode)
)
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(document: bytes) -> None:
    with pytest.raises(JwksError):
        parse_jwks(document)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=10, unique=True))
def test_every_key_is_found_under_its_kid(kids: list[str]) -> None:
    public = {kid: Ed25519PrivateKey.generate().public_key() for kid in kids}
    entries = [
        RFC8037
        | {"kid": kid, "x": base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=")}
        for kid, key in public.items()
    ]
    assert parse_jwks(jwks(*entries)) == public
