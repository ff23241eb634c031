"""Revocation tokens: what `test_payment_token` says of the envelope holds for them too."""

import datetime as dt
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import PaymentTokenError, RevocationTokenError
from client_lib.wire import payment_token, revocation_token
from client_lib.wire.payment_token import Credit
from client_lib.wire.revocation_token import RevocationKind, RevocationToken
from client_lib.wire.store_token import REASONS

NOW = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
KEY = Ed25519PrivateKey.generate()
KEYS = {"shop": {"k": KEY.public_key()}}
CLAIMS: dict[str, Any] = {
    "iss": "shop",
    "aud": "https://licensing.example",
    "jti": "r-1",
    "purchase": "order-1",
    "kind": "refund",
    "iat": int(NOW.timestamp()),
    "exp": int((NOW + HOUR).timestamp()),
}


def signed(claims: dict[str, Any], key: Ed25519PrivateKey = KEY, **header: str) -> str:
    headers = {"typ": "revocation+jwt", "kid": "k"} | header
    return jwt.encode(claims, key, "EdDSA", headers=headers)


def verified(compact: str, now: dt.datetime = NOW) -> RevocationToken:
    return revocation_token.verify(
        compact, keys=KEYS, audience="https://licensing.example", now=now
    )


def refusal(compact: str) -> str:
    with pytest.raises(RevocationTokenError) as caught:
        verified(compact)
    assert caught.value.reason in REASONS
    assert "revocation token" in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", RevocationKind)
def test_minted_token_says_what_happened_to_which_purchase(kind: RevocationKind) -> None:
    compact = revocation_token.mint(
        issuer="shop",
        audience="https://licensing.example",
        token_id="r-1",
        purchase="order-1",
        kind=kind,
        issued_at=NOW,
        expires_at=NOW + HOUR,
        key=KEY,
        kid="k",
    )
    token = verified(compact)
    assert (token.issuer, token.token_id, token.purchase) == ("shop", "r-1", "order-1")
    assert (token.kind, token.expires_at) == (kind, NOW + HOUR)
    assert verified(signed(CLAIMS | {"kind": kind.value})).kind is kind


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"kind": "Refund"}, "claims"),
        ({"kind": None}, "claims"),
        ({"purchase": "with blanks"}, "claims"),
        ({"purchase": ""}, "claims"),
        ({"amount_minor": 5}, "claims"),
        ({"sub": "customer"}, "claims"),
        ({"exp": CLAIMS["iat"]}, "claims"),
        ({"aud": "https://elsewhere.example"}, "audience"),
        ({"aud": [CLAIMS["aud"]]}, "claims"),
        ({"iss": "other"}, "issuer"),
        ({"nbf": CLAIMS["iat"] + 61}, "not-yet-valid"),
    ],
)
def test_wrong_claims_are_refused(claims: dict[str, Any], reason: str) -> None:
    assert refusal(signed(CLAIMS | claims)) == reason


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_is_required(claim: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != claim}
    assert refusal(signed(claims)) == ("malformed" if claim == "iss" else "claims")


def test_other_keys_and_types_are_refused() -> None:
    assert refusal(signed(CLAIMS, Ed25519PrivateKey.generate())) == "signature"
    assert refusal(signed(CLAIMS, kid="other")) == "key"
    assert refusal(signed(CLAIMS, typ="payment+jwt")) == "type"
    assert refusal(signed(CLAIMS, typ="JWT")) == "type"


def test_token_of_one_kind_is_never_taken_for_the_other() -> None:
    paid = payment_token.mint(
        issuer="shop",
        audience="https://licensing.example",
        subject="c",
        token_id="t",
        purchase="order-1",
        issued_at=NOW,
        expires_at=NOW + HOUR,
        credit=Credit(5, "EUR"),
        key=KEY,
        kid="k",
    )
    assert refusal(paid) == "type"
    with pytest.raises(PaymentTokenError) as caught:
        payment_token.verify(signed(CLAIMS), keys=KEYS, audience=CLAIMS["aud"], now=NOW)
    assert caught.value.reason == "type"


def test_expired_token_is_told_apart() -> None:
    token = verified(signed(CLAIMS), now=NOW + 24 * HOUR)
    token.require_unexpired(NOW + HOUR)
    with pytest.raises(RevocationTokenError) as caught:
        token.require_unexpired(NOW + 24 * HOUR)
    assert caught.value.reason == "expired"


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_hostile_payloads_are_refused(payload: bytes) -> None:
    compact = jwt.api_jws.encode(
        payload, KEY, "EdDSA", headers={"typ": "revocation+jwt", "kid": "k"}
    )
    assert refusal(compact) in {"malformed", "claims"}
