"""From a payment token to a certificate and a torrent, over HTTPS."""

import base64
import datetime as dt
import json
import ssl
import sys

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_lib.errors import LicensingRefused
from client_lib.wire import certificates
from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.crl import RevocationList
from client_lib.wire.infohash import InfoHash
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.payment_token import Credit
from client_lib.wire.problem import ProblemType
from client_lib.wire.signature import verify_stamp
from licensing.config import utc_now
from licensing.http.problems import STATUSES
from licensing.stores import open_ledger
from tests.integration.licensing.running import (
    ALBUM,
    STORE,
    TRACKERS,
    Running,
    new_secret,
    problem,
    running,
)
from tests.patience import PATIENCE_S

COMMAND = (sys.executable, "-m", "licensing")
OTHER = "rel-0002.mp3-320"


async def test_token_becomes_licence_certificate_and_torrent(service: Running) -> None:
    await service.publish()
    ca = certificates.load_certificate(service.ca_pem)
    key = certificates.new_key()
    async with service.client(new_secret()) as client:
        (licence,) = (await client.redeem(service.token())).licences
        assert (licence.name, licence.album.artist) == (ALBUM, "Björk")
        assert (await client.library()).licences == (licence,)
        answer = await client.licence_certificate(licence.licence_id, certificates.make_csr(key))
        torrent = Metainfo.from_bytes(await client.licence_torrent(licence.licence_id))
        assert await client.swarm_ca() == service.ca_pem == answer.ca

    leaf = certificates.load_certificate(answer.certificate)
    certificates.verify_issued(leaf, ca, utc_now())
    assert leaf.public_key() == key.public_key()
    info_hash = InfoHash.from_hex(licence.info_hash)
    assert certificates.identify(leaf) == LicenceIdentity(licence.licence_id, ALBUM, info_hash)
    assert torrent.info_hash == info_hash
    stamp = verify_stamp(torrent, ca=ca, now=utc_now(), store="com.example.shop")
    assert stamp.licence_id == licence.licence_id
    urls = [url for tier in stamp.announce_tiers for url in tier]
    expected = {f"{tracker}/announce/{licence.licence_id}" for tracker in TRACKERS}
    assert set(urls) == expected
    assert len(stamp.announce_tiers) == len(TRACKERS)


async def test_nothing_of_the_customer_is_in_certificate_or_torrent(service: Running) -> None:
    await service.publish()
    secret = new_secret()
    async with service.client(secret) as client:
        token = service.token(subject="alice@example.org", purchase="order-9931")
        (licence,) = (await client.redeem(token)).licences
        csr = certificates.make_csr(certificates.new_key())
        answer = await client.licence_certificate(licence.licence_id, csr)
        torrent = await client.licence_torrent(licence.licence_id)
    der = ssl.PEM_cert_to_DER_cert(answer.certificate)
    for private in (b"alice", b"order-9931", STORE.encode(), secret.device_id.encode()):
        assert private not in der
        assert private not in torrent


async def test_lost_response_costs_nothing(service: Running) -> None:
    await service.publish()
    token, secret = service.token(), new_secret()
    async with service.http(secret.bearer) as http:
        first = await http.post("/v1/redemptions", json={"payment_token": token})
        again = await http.post("/v1/redemptions", json={"payment_token": token})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


async def test_64_devices_race_for_one_token_and_one_wins(service: Running) -> None:
    await service.publish()
    token = service.token()
    answers: list[tuple[int, str]] = []

    async def race() -> None:
        async with service.http(new_secret().bearer) as http:
            answer = await http.post("/v1/redemptions", json={"payment_token": token})
        type_ = problem(answer) if answer.status_code != 201 else ""
        answers.append((answer.status_code, type_))

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for _ in range(64):
                nursery.start_soon(race)
    assert sorted(answers) == [(201, "")] + [(409, ProblemType.TOKEN_ALREADY_REDEEMED)] * 63
    async with open_ledger(service.folder, service.config) as ledger:
        assert await ledger.sales() == 1


def _unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(
        json.dumps({"alg": "none", "typ": "payment+jwt", "kid": "x"}).encode()
    )
    return f"{header.decode().rstrip('=')}.{token.split('.')[1]}."


async def test_bad_tokens_are_refused_with_their_reason(service: Running) -> None:
    await service.publish()
    past = utc_now() - dt.timedelta(hours=3)
    tokens = {
        "expired": service.token(now=past),
        "not-yet-valid": service.token(now=utc_now() + dt.timedelta(hours=1)),
        "audience": service.token(audience="https://elsewhere.example"),
        "signature": service.token(key=Ed25519PrivateKey.generate()),
        "issuer": service.token(issuer="unknown shop"),
        "key": service.token(kid="unknown"),
        "algorithm": _unsigned(service.token()),
        "malformed": "a.b",
        "credit": service.token(items=(), credit=Credit(5, "EUR")),
    }
    async with service.http(new_secret().bearer) as http:
        for reason, token in tokens.items():
            answer = await http.post("/v1/redemptions", json={"payment_token": token})
            assert problem(answer) is ProblemType.PAYMENT_TOKEN_REFUSED
            assert answer.json()["reason"] == reason
            assert len(token) < 9 or token.split(".")[1] not in answer.text
        assert (await http.get("/v1/licences")).json() == {"licences": []}


async def test_unknown_release_refuses_the_token_and_leaves_it_unspent(service: Running) -> None:
    await service.publish()
    token = service.token(ALBUM, OTHER)
    async with service.http(new_secret().bearer) as http:
        answer = await http.post("/v1/redemptions", json={"payment_token": token})
        assert problem(answer) is ProblemType.UNKNOWN_RELEASE
        await service.publish(OTHER)
        answer = await http.post("/v1/redemptions", json={"payment_token": token})
        assert answer.status_code == 201
        assert [licence["name"] for licence in answer.json()["licences"]] == [ALBUM, OTHER]


async def test_reminted_token_brings_the_library_to_another_device(service: Running) -> None:
    await service.publish()
    first, second = new_secret(), new_secret()
    async with service.client(first) as client:
        library = await client.redeem(service.token(purchase="p-1"))
    async with service.client(second) as client:
        assert await client.redeem(service.token(purchase="p-1")) == library
        mismatch = service.token(purchase="p-1", subject="somebody else")
        with pytest.raises(LicensingRefused) as caught:
            await client.redeem(mismatch)
        assert caught.value.problem_type == ProblemType.PURCHASE_MISMATCH


async def test_redeemed_token_is_answered_again_after_it_expired(service: Running) -> None:
    await service.publish()
    token, secret = service.token(), new_secret()
    async with service.client(secret) as client:
        library = await client.redeem(token)
    service.stop.set()
    async with running(service.folder, clock=lambda: utc_now() + dt.timedelta(hours=2)) as later:
        async with later.client(secret) as client:
            assert await client.redeem(token) == library
        async with later.client(new_secret()) as client:
            with pytest.raises(LicensingRefused) as caught:
                await client.redeem(token)
            assert caught.value.status == 409


async def test_licence_is_nobody_elses(service: Running) -> None:
    await service.publish()
    async with service.client(new_secret()) as client:
        (licence,) = (await client.redeem(service.token())).licences
    csr = {"csr": certificates.make_csr(certificates.new_key())}
    async with service.http(new_secret().bearer) as http:
        for licence_id in (licence.licence_id, "a" * 26, "nonsense", "..%2f"):
            path = f"/v1/licences/{licence_id}"
            answer = await http.post(path + "/certificate", json=csr)
            assert problem(answer) is ProblemType.UNKNOWN_LICENCE
            assert problem(await http.get(path + "/torrent")) is ProblemType.UNKNOWN_LICENCE


@pytest.mark.parametrize("csr", ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
async def test_bad_csr_is_refused(service: Running, csr: str) -> None:
    await service.publish()
    async with service.http(new_secret().bearer) as http:
        answer = await http.post("/v1/redemptions", json={"payment_token": service.token()})
        licence_id = answer.json()["licences"][0]["licence_id"]
        path = f"/v1/licences/{licence_id}/certificate"
        assert problem(await http.post(path, json={"csr": csr})) is ProblemType.CSR_REFUSED


async def test_revocation_by_another_process_reaches_the_crl_and_the_customer(
    service: Running,
) -> None:
    await service.publish()
    ca = certificates.load_certificate(service.ca_pem)
    async with service.client(new_secret()) as client:
        (licence,) = (await client.redeem(service.token(purchase="p-1"))).licences
        csr = certificates.make_csr(certificates.new_key())
        answer = await client.licence_certificate(licence.licence_id, csr)
        before = await client.revocation_list()
        assert before is not None
        assert await client.revocation_list(before.etag) is None
        first = RevocationList.from_der(before.body, ca=ca)
        assert first.serials == frozenset()
        assert first.next_update - utc_now() >= dt.timedelta(hours=12)

        done = await trio.run_process(
            [*COMMAND, "revoke", "--purchase", "p-1", "--data", str(service.folder.root)],
            capture_stdout=True,
        )
        assert b"1 licences" in done.stdout

        after = await client.revocation_list(before.etag)
        assert after is not None
        second = RevocationList.from_der(after.body, ca=ca)
        assert second.serials == {certificates.load_certificate(answer.certificate).serial_number}
        assert second.number > first.number
        assert (await client.library()).licences[0].state == "revoked"
        for call in (
            lambda: client.licence_certificate(licence.licence_id, csr),
            lambda: client.licence_torrent(licence.licence_id),
        ):
            with pytest.raises(LicensingRefused) as caught:
                await call()
            assert caught.value.problem_type == ProblemType.LICENCE_REVOKED


async def test_every_problem_type_has_a_status() -> None:
    assert set(STATUSES) == set(ProblemType)


async def test_crl_is_signed_anew_before_its_promise_runs_out(service: Running) -> None:
    async with service.client() as client:
        first = await client.revocation_list()
    assert first is not None
    service.stop.set()
    shift = [dt.timedelta(0)]
    async with (
        running(service.folder, clock=lambda: utc_now() + shift[0]) as later,
        later.client() as client,
    ):
        fresh = await client.revocation_list()
        assert fresh is not None
        shift[0] = dt.timedelta(hours=2)
        renewed = await client.revocation_list(fresh.etag)
        assert renewed is not None
        ca = certificates.load_certificate(service.ca_pem)
        crl = RevocationList.from_der(renewed.body, ca=ca)
        assert crl.next_update - (utc_now() + shift[0]) >= dt.timedelta(hours=12)
        assert await client.revocation_list(renewed.etag) is None
