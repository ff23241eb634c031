import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings

from client_lib.errors import MetainfoError, SignatureError
from client_lib.wire import bencode
from client_lib.wire.certificates import HostIdentity, SeederIdentity, SignerIdentity
from client_lib.wire.licence import licence_id_from
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import parse_torrent_name
from client_lib.wire.signature import Stamp, stamp, verify_stamp
from tests.pki import Leaf, SwarmPki, licence_identity
from tests.unit.client_lib.wire.strategies import damaged
from tests.unit.client_lib.wire.torrents import NAME, Draft, swarm

STORE = "com.example.shop"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)
LICENCE = licence_id_from(b"licence number 1")
OTHER_LICENCE = licence_id_from(b"licence number 2")
WEB_SEEDS = ("https://w1.example:8445/releases/", "https://w2.example/releases/")
SIGNER = swarm().issue(SignerIdentity(1, STORE))


def url(host: str = "tracker.example:8444", licence: str = LICENCE) -> str:
    return f"https://{host}/announce/{licence}"


def a_stamp(
    *tiers: tuple[str, ...],
    name: str = NAME,
    issued_at: dt.datetime = NOW,
    licence: str = LICENCE,
    web_seeds: tuple[str, ...] = (),
) -> Stamp:
    licence_id = LICENCE if licence == LICENCE else OTHER_LICENCE
    return Stamp(licence_id, parse_torrent_name(name), tiers or ((url(),),), issued_at, web_seeds)


def published() -> Metainfo:
    return Metainfo.from_bytes(Draft().encode())


def stamped(what: Stamp | None = None, *, store: str = STORE, signer: Leaf = SIGNER) -> bytes:
    return stamp(
        published(), what or a_stamp(), store=store, certificate=signer.certificate, key=signer.key
    )


def verify(data: bytes, *, store: str | None = None, now: dt.datetime = NOW) -> Stamp:
    return verify_stamp(Metainfo.from_bytes(data), ca=swarm().ca, now=now, store=store)


STAMPED = stamped()


@pytest.mark.parametrize(
    "tiers",
    [
        ((url(),),),
        ((url("a.example"),), (url("b.example"), url("[::1]:8444")), (url("c.example"),)),
    ],
)
def test_a_stamp_comes_back_as_it_was_signed(tiers: tuple[tuple[str, ...], ...]) -> None:
    what = a_stamp(*tiers)
    data = stamped(what)
    torrent = Metainfo.from_bytes(data)
    assert verify(data) == verify(data, store=STORE) == what
    assert torrent.announce_tiers == tiers
    assert torrent.info_hash == published().info_hash
    assert torrent.files == published().files


def test_web_seeds_come_back_as_they_were_signed() -> None:
    what = a_stamp(web_seeds=WEB_SEEDS)
    data = stamped(what)
    assert verify(data) == what
    assert Metainfo.from_bytes(data).web_seeds == WEB_SEEDS
    assert Metainfo.from_bytes(data).info_hash == published().info_hash


@pytest.mark.parametrize("others", [None, [b"https://evil.example/releases/"], WEB_SEEDS[::-1]])
def test_web_seeds_that_nobody_signed_for_are_refused(others: list[bytes] | None) -> None:
    torrent: Any = bencode.decode(stamped(a_stamp(web_seeds=WEB_SEEDS)))
    if others is None:
        del torrent[b"url-list"]
    else:
        torrent[b"url-list"] = [u if isinstance(u, bytes) else u.encode() for u in others]
    with pytest.raises(SignatureError, match="web seeds are not the signed ones"):
        verify(bencode.encode(torrent))
    added: Any = bencode.decode(STAMPED)
    added[b"url-list"] = [WEB_SEEDS[0].encode()]
    with pytest.raises(SignatureError, match="web seeds are not the signed ones"):
        verify(bencode.encode(added))


def test_stamping_again_gives_the_same_file() -> None:
    assert stamped() == STAMPED
    again = stamp(
        Metainfo.from_bytes(STAMPED),
        a_stamp(),
        store=STORE,
        certificate=SIGNER.certificate,
        key=SIGNER.key,
    )
    assert again == STAMPED


def test_the_layout_on_the_wire_is_the_documented_one() -> None:
    torrent: Any = bencode.decode(STAMPED)
    assert torrent.keys() == {b"announce", b"info", b"piece layers", b"signatures"}
    entry = torrent[b"signatures"][STORE.encode()]
    assert entry[b"certificate"] == SIGNER.certificate.public_bytes(serialization.Encoding.DER)
    assert entry[b"info"] == {
        b"announce": url().encode(),
        b"issued at": int(NOW.timestamp()),
        b"licence": LICENCE.encode(),
        b"release": NAME.encode(),
    }
    signed = bencode.encode(torrent[b"info"]) + bencode.encode(entry[b"info"])
    SIGNER.key.public_key().verify(entry[b"signature"], signed, ec.ECDSA(hashes.SHA256()))


@settings(max_examples=300)
@given(damaged(STAMPED))
def test_damage_is_refused_with_the_documented_error(data: bytes) -> None:
    try:
        torrent = Metainfo.from_bytes(data)
    except MetainfoError:
        return
    try:
        what = verify_stamp(torrent, ca=swarm().ca, now=NOW)
    except SignatureError:
        return
    assert what == a_stamp()
    assert torrent == Metainfo.from_bytes(STAMPED)


DER = SIGNER.certificate.public_bytes(serialization.Encoding.DER)


@settings(max_examples=500)
@given(damaged(DER))
def test_a_damaged_certificate_is_refused_with_the_documented_error(der: bytes) -> None:
    torrent: Any = bencode.decode(STAMPED)
    torrent[b"signatures"][STORE.encode()][b"certificate"] = der
    if der != DER:
        with pytest.raises(SignatureError):
            verify(bencode.encode(torrent))


ELSEWHERE = url("evil.example").encode()


def test_a_certificate_that_cryptography_only_warns_about_is_refused() -> None:
    """A negative serial number: a warning today, an error where warnings are errors."""
    serial = SIGNER.certificate.serial_number
    number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    torrent: Any = bencode.decode(STAMPED)
    bent = DER.replace(number, bytes([number[0] | 0x80]) + number[1:])
    assert bent != DER
    torrent[b"signatures"][STORE.encode()][b"certificate"] = bent
    with pytest.raises(SignatureError, match="does not parse"):
        verify(bencode.encode(torrent))


Change = Callable[[dict[bytes, Any], dict[bytes, Any]], object]
VIRUS = {b"virus.exe": {b"": {b"length": 1, b"pieces root": b"r" * 32}}}


def _announce_elsewhere(torrent: dict[bytes, Any], entry: dict[bytes, Any]) -> None:
    torrent[b"announce"] = entry[b"info"][b"announce"] = ELSEWHERE


@pytest.mark.parametrize(
    "change",
    [
        _announce_elsewhere,
        lambda torrent, _: torrent.update({b"announce": ELSEWHERE}),
        lambda torrent, _: torrent.pop(b"announce"),
        lambda torrent, _: torrent.update({b"announce-list": [[url().encode()], [ELSEWHERE]]}),
        lambda _, entry: entry[b"info"].update({b"announce": ELSEWHERE}),
        lambda _, entry: entry[b"info"].update({b"licence": OTHER_LICENCE.encode()}),
        lambda _, entry: entry[b"info"].update({b"issued at": 5}),
        lambda _, entry: entry[b"info"].update({b"more": 5}),
        lambda _, entry: entry.update({b"info": {}}),
        lambda _, entry: entry.update({b"signature": b""}),
        lambda _, entry: entry.update({b"signature": bytes(64)}),
        lambda torrent, _: torrent[b"info"].update({b"name": b"rel-0002.flac-24-96"}),
        lambda torrent, _: torrent[b"info"][b"file tree"].update(VIRUS),
        lambda torrent, _: torrent.update({b"signatures": {}}),
        lambda torrent, _: torrent.pop(b"signatures"),
    ],
)
def test_tampering_is_refused(change: Change) -> None:
    torrent: Any = bencode.decode(STAMPED)
    change(torrent, torrent[b"signatures"][STORE.encode()])
    with pytest.raises(SignatureError):
        verify(bencode.encode(torrent))


def forge(
    information: dict[bytes, Any],
    *,
    signer: Leaf = SIGNER,
    store: str = STORE,
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """A torrent whose signature is right, over whatever a signer could be made to sign."""
    torrent: Any = bencode.decode(Draft().encode())
    info = bencode.encode(torrent[b"info"])
    signed: dict[bytes, Any] = {
        b"announce": url().encode(),
        b"issued at": int(NOW.timestamp()),
        b"licence": LICENCE.encode(),
        b"release": NAME.encode(),
    } | information
    signed = {key: value for key, value in signed.items() if value is not None}
    signature = signer.key.sign(
        info + bencode.encode(signed), ec.ECDSA(algorithm or hashes.SHA256())
    )
    entry = {
        b"certificate": signer.certificate.public_bytes(serialization.Encoding.DER),
        b"info": signed,
        b"signature": signature,
    }
    torrent[b"announce"] = url().encode()
    torrent[b"signatures"] = {store.encode(): entry}
    return bencode.encode(torrent)


def test_a_forged_torrent_without_fault_would_pass() -> None:
    assert verify(forge({})) == a_stamp()


@pytest.mark.parametrize(
    "information",
    [
        {b"release": b"rel-0002.flac-24-96"},
        {b"release": b"../x"},
        {b"release": "rel-ä.flac".encode()},
        {b"release": None},
        {b"licence": OTHER_LICENCE.encode()},
        {b"licence": b"short"},
        {b"licence": 5},
        {b"licence": None},
        {b"announce": None},
        {b"announce": ELSEWHERE},
        {b"announce": b"http://tracker.example/announce"},
        {b"announce-list": [[url().encode()]]},
        {b"announce-list": [[url().encode()], [ELSEWHERE]]},
        {b"issued at": None},
        {b"issued at": b"5"},
        {b"issued at": -1},
        {b"issued at": (1 << 63) - 1},
        {b"issued at": int((NOW - 3 * DAY).timestamp())},
        {b"issued at": int((NOW + 400 * DAY).timestamp())},
        {b"unknown": 1},
    ],
)
def test_signed_information_must_fit_the_torrent(information: dict[bytes, Any]) -> None:
    with pytest.raises(SignatureError):
        verify(forge(information))


def test_another_hash_is_refused() -> None:
    with pytest.raises(SignatureError, match="is wrong"):
        verify(forge({}, algorithm=hashes.SHA512()))


OTHER_PKI = SwarmPki()


@pytest.mark.parametrize(
    "signer",
    [
        OTHER_PKI.issue(SignerIdentity(1, STORE)),
        swarm().issue(SignerIdentity(1, "com.example.other")),
        swarm().issue(SeederIdentity("seeder-1")),
        swarm().issue(HostIdentity("licensing", ("localhost",))),
        swarm().issue(licence_identity()),
        swarm().issue(SignerIdentity(1, STORE), now=NOW - 3 * DAY, lifetime=DAY),
        swarm().issue(SignerIdentity(1, STORE), now=NOW + 3 * DAY),
        Leaf(swarm().ca, swarm().ca_key),
        Leaf(SIGNER.certificate, OTHER_PKI.ca_key),
    ],
    ids=["CA", "store", "seeder", "host", "licence", "expired", "not-yet", "CA-itself", "key"],
)
def test_nobody_but_the_stores_signer_signs(signer: Leaf) -> None:
    with pytest.raises(SignatureError):
        verify(forge({}, signer=signer))
    with pytest.raises(SignatureError):
        stamped(signer=signer)


def test_a_signature_counts_for_its_own_store_only() -> None:
    with pytest.raises(SignatureError, match=r"not signed by com\.example\.other"):
        verify(STAMPED, store="com.example.other")
    with pytest.raises(SignatureError, match=r"certificate is for com\.example\.shop"):
        verify(forge({}, store="com.example.other"))


def test_with_several_signatures_the_store_must_be_named() -> None:
    other = swarm().issue(SignerIdentity(2, "com.example.other"))
    torrent: Any = bencode.decode(STAMPED)
    torrent[b"signatures"] |= _signatures(stamped(store="com.example.other", signer=other))
    data = bencode.encode(torrent)
    with pytest.raises(SignatureError, match="2 signatures"):
        verify(data)
    assert verify(data, store=STORE) == verify(data, store="com.example.other") == a_stamp()


def _signatures(data: bytes) -> dict[bytes, Any]:
    torrent: Any = bencode.decode(data)
    signatures: dict[bytes, Any] = torrent[b"signatures"]
    return signatures


def test_a_torrent_sealed_under_another_ca_is_refused() -> None:
    theirs = Metainfo.from_bytes(Draft(ssl_cert=OTHER_PKI.ca_pem).encode())
    signer = OTHER_PKI.issue(SignerIdentity(1, STORE))
    data = stamp(theirs, a_stamp(), store=STORE, certificate=signer.certificate, key=signer.key)
    with pytest.raises(SignatureError, match="ssl-cert is not the CA"):
        verify(data)


def test_an_expired_signer_no_longer_counts() -> None:
    assert verify(STAMPED, now=NOW + 364 * DAY) == a_stamp()
    with pytest.raises(SignatureError, match="expired"):
        verify(STAMPED, now=NOW + 366 * DAY)


def test_a_stamp_for_another_release_is_not_put_on() -> None:
    with pytest.raises(SignatureError, match="cannot carry a stamp for rel-0002"):
        stamped(a_stamp(name="rel-0002.flac-24-96"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stamp(LICENCE, parse_torrent_name(NAME), (), NOW),
        lambda: a_stamp(()),
        lambda: a_stamp((url(),), ()),
        lambda: a_stamp((url(), url())),
        lambda: a_stamp((url(licence=OTHER_LICENCE),)),
        lambda: a_stamp((url(),), ("https://b.example/announce",)),
        lambda: a_stamp((url() + "?x=1",)),
        lambda: a_stamp((f"http://tracker.example/announce/{LICENCE}",)),
        lambda: a_stamp((f"https://tracker.example/x/announce/{LICENCE}",)),
        lambda: a_stamp(issued_at=NOW.replace(tzinfo=None)),
        lambda: a_stamp(issued_at=NOW.replace(microsecond=5)),
    ],
)
def test_an_inconsistent_stamp_cannot_be_made(make: Callable[[], Stamp]) -> None:
    with pytest.raises(SignatureError):
        make()
