import base64
import contextlib
import datetime as dt
import hashlib
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import PaymentTokenError
from client_lib.wire import payment_token
from client_lib.wire.payment_token import REASONS, Credit, LineItem, PaymentToken
from client_lib.wire.release import AudioFormat, ReleaseId

NOW = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
SHOP, AUDIENCE, KID = "shop", "https://licensing.example", "2026-11"
KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYS = {
    SHOP: {KID: KEY.public_key(), "next": OTHER_KEY.public_key()},
    "other shop": {"o": OTHER_KEY.public_key()},
}
ITEM = LineItem(ReleaseId("rel-1"), AudioFormat("mp3-320"), 999, "EUR")
CLAIMS: dict[str, Any] = {
    "iss": SHOP,
    "aud": AUDIENCE,
    "sub": "customer-1",
    "jti": "token-1",
    "purchase": "purchase-1",
    "iat": int(NOW.timestamp()),
    "exp": int((NOW + HOUR).timestamp()),
    "items": [{"release_id": "rel-1", "format": "mp3-320", "amount_minor": 999, "currency": "EUR"}],
}
HEADER = {"alg": "EdDSA", "typ": "payment+jwt", "kid": KID}


def minted(**changes: Any) -> str:  # noqa: ANN401
    fields: dict[str, Any] = {
        "issuer": SHOP,
        "audience": AUDIENCE,
        "subject": "customer-1",
        "token_id": "token-1",
        "purchase": "purchase-1",
        "issued_at": NOW,
        "expires_at": NOW + HOUR,
        "items": (ITEM,),
        "key": KEY,
        "kid": KID,
    }
    return payment_token.mint(**(fields | changes))


def signed(
    claims: object, header: dict[str, Any] | None = None, key: Ed25519PrivateKey = KEY
) -> str:
    """A token by the book (RFC 7515), whatever is in it."""
    parts = [json.dumps(HEADER if header is None else header).encode()]
    parts.append(claims if isinstance(claims, bytes) else json.dumps(claims).encode())
    text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = base64.urlsafe_b64encode(key.sign(text.encode())).decode().rstrip("=")
    return f"{text}.{signature}"


def verified(compact: str, **changes: Any) -> PaymentToken:  # noqa: ANN401
    arguments: dict[str, Any] = {"keys": KEYS, "audience": AUDIENCE, "now": NOW}
    return payment_token.verify(compact, **(arguments | changes))


def refusal(compact: str, **changes: Any) -> str:  # noqa: ANN401
    with pytest.raises(PaymentTokenError) as caught:
        verified(compact, **changes)
    assert caught.value.reason in REASONS
    assert len(compact) < 40 or compact not in str(caught.value)
    return caught.value.reason


def test_minted_token_says_what_was_sold() -> None:
    compact = minted(device_limit=3)
    token = verified(compact)
    assert token.items == (ITEM,)
    assert (token.issuer, token.subject, token.purchase) == (SHOP, "customer-1", "purchase-1")
    assert (token.issued_at, token.expires_at) == (NOW, NOW + HOUR)
    assert (token.device_limit, token.credit) == (3, None)
    assert token.digest == hashlib.sha256(compact.encode()).hexdigest()
    assert verified(minted()).device_limit == 5


def test_credit_token_says_how_much() -> None:
    credit = Credit(5000, "EUR")
    assert verified(minted(items=(), credit=credit)).credit == credit


def test_another_library_reads_and_writes_the_same_tokens() -> None:
    assert verified(signed(CLAIMS)).items == (ITEM,)
    theirs = jwt.encode(CLAIMS, KEY, "EdDSA", headers={"typ": "payment+jwt", "kid": KID})
    assert verified(theirs).items == (ITEM,)
    read = jwt.decode(
        minted(), KEY.public_key(), ["EdDSA"], audience=AUDIENCE, options={"verify_exp": False}
    )
    assert read == CLAIMS


def test_every_key_of_a_store_counts_and_none_of_another() -> None:
    assert verified(minted(key=OTHER_KEY, kid="next")).issuer == SHOP
    assert refusal(minted(key=OTHER_KEY)) == "signature"
    assert refusal(minted(kid="unknown")) == "key"
    assert refusal(minted(kid="o")) == "key"
    assert refusal(minted(issuer="unknown shop")) == "issuer"
    assert refusal(minted(issuer="other shop", kid="o")) == "signature"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "Ed25519"}, "algorithm"),
        ({"alg": None}, "algorithm"),
        ({"typ": "JWT"}, "type"),
        ({"typ": "revocation+jwt"}, "type"),
        ({"kid": 7}, "malformed"),
        ({"b64": True}, "malformed"),
        ({"b64": False, "crit": ["b64"]}, "malformed"),
        ({"crit": ["exp"]}, "malformed"),
    ],
)
def test_other_headers_are_refused(change: dict[str, Any], reason: str) -> None:
    assert refusal(signed(CLAIMS, HEADER | change)) == reason


def test_missing_headers_are_refused() -> None:
    for name, reason in (("alg", "algorithm"), ("typ", "type"), ("kid", "key")):
        header = {key: value for key, value in HEADER.items() if key != name}
        assert refusal(signed(CLAIMS, header)) == reason


def test_public_key_is_no_hmac_secret() -> None:
    # RFC 8725, section 2.1: the confusion of algorithms.
    header = base64.urlsafe_b64encode(json.dumps(HEADER | {"alg": "HS256"}).encode())
    payload = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode())
    text = f"{header.decode().rstrip('=')}.{payload.decode().rstrip('=')}"
    mac = hashlib.sha256(KEY.public_key().public_bytes_raw() + text.encode()).digest()
    assert refusal(f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}") == "algorithm"


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_claim_is_required(name: str) -> None:
    claims = {key: value for key, value in CLAIMS.items() if key != name}
    assert refusal(signed(claims)) == ("malformed" if name == "iss" else "claims")


LINE = CLAIMS["items"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "a" * 201},
        {"jti": "white space"},
        {"jti": "line\n"},
        {"purchase": "a" * 129},
        {"aud": [AUDIENCE]},
        {"iat": "2026"},
        {"iat": 1.5},
        {"iat": -1},
        {"exp": 10**18},
        {"exp": CLAIMS["iat"]},
        {"device_limit": 0},
        {"device_limit": 1001},
        {"device_limit": True},
        {"items": []},
        {"items": None},
        {"items": [LINE, LINE]},
        {"items": [LINE | {"amount_minor": -1}]},
        {"items": [LINE | {"amount_minor": 9.99}]},
        {"items": [LINE | {"amount_minor": 10**13}]},
        {"items": [LINE | {"currency": "eur"}]},
        {"items": [LINE | {"currency": "EUR\n"}]},
        {"items": [LINE | {"release_id": "../etc"}]},
        {"items": [LINE | {"release_id": "rel\n"}]},
        {"items": [LINE | {"format": ""}]},
        {"items": [LINE | {"extra": 1}]},
        {"items": [{"release_id": "rel-1"}]},
        {"credit": {"amount_minor": 1, "currency": "EUR"}},
    ],
)
def test_wrong_claims_are_refused(change: dict[str, Any]) -> None:
    assert refusal(signed(CLAIMS | change)) == "claims"


def test_token_for_another_service_is_refused() -> None:
    assert refusal(minted(audience="https://elsewhere.example")) == "audience"


def test_clock_may_be_off_by_the_leeway_and_no_more() -> None:
    token, second = minted(), dt.timedelta(seconds=1)
    leeway = dt.timedelta(seconds=60)
    verified(token, now=NOW + HOUR + leeway - second)
    assert refusal(token, now=NOW + HOUR + leeway) == "expired"
    verified(token, now=NOW - leeway)
    assert refusal(token, now=NOW - leeway - second) == "not-yet-valid"
    assert refusal(token, now=NOW + HOUR, leeway_s=0) == "expired"
    later = signed(CLAIMS | {"nbf": CLAIMS["iat"] + 600})
    assert refusal(later) == "not-yet-valid"
    verified(later, now=NOW + dt.timedelta(minutes=10))


def test_expired_token_can_be_read_when_asked_and_still_says_so() -> None:
    token = verified(minted(), now=NOW + 2 * HOUR, check_expiry=False)
    with pytest.raises(PaymentTokenError) as caught:
        token.require_unexpired(NOW + 2 * HOUR)
    assert caught.value.reason == "expired"
    # Everything else is checked all the same.
    other = minted(audience="https://elsewhere.example")
    assert refusal(other, now=NOW + 2 * HOUR, check_expiry=False) == "audience"


def test_mint_refuses_what_verify_would() -> None:
    with pytest.raises(PaymentTokenError) as caught:
        minted(items=())
    assert caught.value.reason == "claims"


@pytest.mark.parametrize("tail", ["=", "==", "\n", " ", ".", ".e30"])
def test_token_has_one_spelling(tail: str) -> None:
    assert refusal(minted() + tail) == "malformed"


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 9_000, b'"x"'])
def test_claims_that_are_no_object_are_malformed(payload: bytes) -> None:
    assert refusal(signed(payload)) == "malformed"


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,90}"))
def test_garbage_is_refused(text: str) -> None:
    refusal(text)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_damaged_token_is_never_taken(position: int, change: int) -> None:
    token = bytearray(minted().encode())
    token[position % len(token)] ^= change
    refusal(token.decode("latin-1"))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(sorted({*CLAIMS, "device_limit", "credit", "nbf"})), _json)
def test_claims_of_any_type_are_refused_or_valid(name: str, value: object) -> None:
    with contextlib.suppress(PaymentTokenError):
        token = verified(signed(CLAIMS | {name: value}))
        assert bool(token.items) != (token.credit is not None)


def test_unsigned_token_is_refused_for_its_algorithm() -> None:
    compact = signed(CLAIMS, HEADER | {"alg": "none"})
    assert refusal(compact.rpartition(".")[0] + ".") == "algorithm"
    assert refusal(minted().rpartition(".")[0] + ".") == "signature"
