"""Prepaid credit over HTTPS: quotes, top-ups, purchases, and their refunds."""

import datetime as dt
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from client_lib.errors import LicensingRefused
from client_lib.wire import certificates, revocation_token
from client_lib.wire.crl import RevocationList
from client_lib.wire.licensing_api import (
    Balance,
    LicenceState,
    PurchaseRequest,
    RevocationAnswer,
)
from client_lib.wire.money import Money
from client_lib.wire.payment_token import Credit
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import AudioFormat, ReleaseId
from client_lib.wire.revocation_token import RevocationKind
from licensing.config import utc_now
from licensing.issuers import key_id, load_private_key
from licensing.stores import open_ledger
from tests.integration.licensing.running import (
    ALBUM,
    PUBLIC_URL,
    STORE,
    Running,
    found_folder,
    new_secret,
    problem,
    running,
)
from tests.patience import PATIENCE_S

MP3 = "rel-0001.mp3-320"
OTHER = "rel-0002.mp3-320"
SIZE_BYTES = 202_768  # of the album that `Running.publish` publishes
PRICE = 507  # 0.202768 MB at 2500 minor units, 506.92, rounded up
REQUEST = PurchaseRequest(ReleaseId("rel-0001"), AudioFormat("flac-16-44"), "EUR")
HOUR = dt.timedelta(hours=1)
BODY = {"release_id": "rel-0001", "format": "flac-16-44", "currency": "EUR"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    prices = {"EUR": "2500", "USD": "2750.5"}
    folder = await found_folder(tmp_path / "licensing", price_per_mb_minor=prices)
    async with running(folder) as service:
        await service.publish(ALBUM, MP3, OTHER)
        yield service


def credit(service: Running, amount: int = 1000, currency: str = "EUR", **claims: Any) -> str:  # noqa: ANN401
    return service.token(items=(), credit=Credit(amount, currency), **claims)


def revocation(service: Running, purchase: str, kind: RevocationKind, **claims: Any) -> str:  # noqa: ANN401
    key = load_private_key(service.folder.test_store_key)
    defaults: dict[str, Any] = {
        "issuer": STORE,
        "audience": PUBLIC_URL,
        "token_id": secrets.token_urlsafe(8),
        "issued_at": utc_now(),
        "expires_at": utc_now() + HOUR,
        "key": key,
        "kid": key_id(key.public_key()),
    }
    return revocation_token.mint(purchase=purchase, kind=kind, **(defaults | claims))


async def buy(http: httpx2.AsyncClient, key: str | None = "k-1", **body: str) -> httpx2.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await http.post("/v1/purchases", json=BODY | body, headers=headers)


async def test_customer_tops_up_looks_at_prices_and_buys(service: Running) -> None:
    async with service.client(new_secret()) as client:
        answer = await client.redeem(credit(service))
        assert answer.licences == ()
        assert answer.balances == (Balance(STORE, "customer-4711", "EUR", 1000),)
        quote = await client.quote(ReleaseId("rel-0001"))
        assert [(entry.name, entry.size_bytes) for entry in quote.formats] == [
            (ALBUM, SIZE_BYTES),
            (MP3, SIZE_BYTES),
        ]
        assert quote.formats[0].prices == (Money(PRICE, "EUR"), Money(558, "USD"))
        bought = await client.buy(REQUEST, idempotency_key="k-1")
        assert (bought.charged_minor, bought.balance_minor) == (PRICE, 1000 - PRICE)
        assert not bought.already_owned
        assert (await client.library()).licences == (bought.licence,)
        assert (await client.balances())[0].balance_minor == 1000 - PRICE
        again = await client.buy(REQUEST, idempotency_key="k-2")
        assert (again.already_owned, again.charged_minor) == (True, 0)
        csr = certificates.make_csr(certificates.new_key())
        await client.licence_certificate(bought.licence.licence_id, csr)
        await client.licence_torrent(bought.licence.licence_id)


async def test_prices_are_public_and_unknown_releases_are_not_found(service: Running) -> None:
    async with service.http() as http:
        answer = await http.get("/v1/releases/rel-0002")
        assert answer.status_code == 200
        (entry,) = answer.json()["formats"]
        assert entry["prices"][0] == {"amount_minor": PRICE, "currency": "EUR"}
        for unknown in ("rel-0003", "UPPER", "%2e%2e", "rel-0001.mp3-320"):
            answer = await http.get(f"/v1/releases/{unknown}")
            assert problem(answer) is ProblemType.UNKNOWN_RELEASE


async def test_lost_response_of_a_purchase_costs_nothing(service: Running) -> None:
    async with service.http(new_secret().bearer) as http:
        await http.post("/v1/redemptions", json={"payment_token": credit(service)})
        first = await buy(http)
        for key in ("k-1", '"k-1"'):
            again = await buy(http, key)
            assert (again.status_code, again.content) == (first.status_code, first.content)
        assert first.status_code == 201
        owned = await buy(http, "k-2")
        assert owned.status_code == 200
        assert (await buy(http, "k-2")).content == owned.content
        balances = (await http.get("/v1/balance")).json()["balances"]
    assert [entry["balance_minor"] for entry in balances] == [1000 - PRICE]


async def test_purchase_needs_a_good_key_of_its_own(service: Running) -> None:
    async with service.http(new_secret().bearer) as http:
        await http.post("/v1/redemptions", json={"payment_token": credit(service, 10_000)})
        for bad in (None, "", "x" * 65, "two words", '"open'):
            answer = await buy(http, bad)
            assert answer.status_code == 400
            assert problem(answer) is ProblemType.IDEMPOTENCY_KEY_REFUSED
        twice = httpx2.Headers([("Idempotency-Key", "a"), ("Idempotency-Key", "a")])
        answer = await http.post("/v1/purchases", json=BODY, headers=twice)
        assert problem(answer) is ProblemType.IDEMPOTENCY_KEY_REFUSED
        assert (await buy(http)).status_code == 201
        for other in ({"format": "mp3-320"}, {"release_id": "rel-0002", "format": "mp3-320"}):
            answer = await buy(http, **other)
            assert answer.status_code == 422
            assert problem(answer) is ProblemType.IDEMPOTENCY_KEY_REUSED
        assert len((await http.get("/v1/licences")).json()["licences"]) == 1


async def test_too_little_credit_is_a_402_with_balance_and_price(service: Running) -> None:
    async with service.http(new_secret().bearer) as http:
        nothing = await buy(http)
        await http.post("/v1/redemptions", json={"payment_token": credit(service, 506)})
        little = await buy(http)
        await http.post("/v1/redemptions", json={"payment_token": credit(service, 1)})
        assert (await buy(http)).json()["balance_minor"] == 0
    for answer, balance in ((nothing, 0), (little, 506)):
        assert answer.status_code == 402
        assert problem(answer) is ProblemType.INSUFFICIENT_CREDIT
        assert answer.json()["balance"] == {"amount_minor": balance, "currency": "EUR"}
        assert answer.json()["price"] == {"amount_minor": PRICE, "currency": "EUR"}


async def test_bad_purchases_and_credit_are_refused(service: Running) -> None:
    async with service.http(new_secret().bearer) as http:
        gbp = await http.post(
            "/v1/redemptions", json={"payment_token": credit(service, currency="GBP")}
        )
        assert problem(gbp) is ProblemType.PAYMENT_TOKEN_REFUSED
        assert gbp.json()["reason"] == "credit"
        assert problem(await buy(http, currency="GBP")) is ProblemType.NOT_FOR_SALE
        assert problem(await buy(http, release_id="rel-9")) is ProblemType.UNKNOWN_RELEASE
        assert problem(await buy(http, format="ogg")) is ProblemType.UNKNOWN_RELEASE
        for wrong in ({"currency": "eur"}, {"release_id": "../x"}, {"amount": "1"}):
            assert problem(await buy(http, **wrong)) is ProblemType.MALFORMED_REQUEST
        assert (await http.get("/v1/balance")).json() == {"balances": []}
    async with service.http() as http:
        assert problem(await buy(http)) is ProblemType.UNKNOWN_DEVICE
        assert problem(await http.get("/v1/balance")) is ProblemType.UNKNOWN_DEVICE


async def test_two_devices_race_for_one_balance_and_never_overdraw_it(service: Running) -> None:
    names = [f"rel-{number:04}.ogg" for number in range(100, 116)]
    await service.publish(*names)
    devices = [new_secret(), new_secret()]
    for device in devices:
        async with service.client(device) as client:
            await client.redeem(credit(service, 2 * PRICE + 100))
    statuses: Counter[int] = Counter()

    async def race(number: int) -> None:
        async with service.http(devices[number % 2].bearer) as http:
            release_id = names[number].partition(".")[0]
            answer = await buy(http, f"k-{number}", release_id=release_id, format="ogg")
            statuses[answer.status_code] += 1

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for number in range(len(names)):
                nursery.start_soon(race, number)
    assert statuses == {201: 4, 402: 12}
    async with service.client(devices[0]) as client:
        assert [entry.balance_minor for entry in await client.balances()] == [200]
    async with open_ledger(service.folder, service.config) as ledger:
        assert await ledger.sales() == 4


async def test_store_takes_a_purchase_back_and_gives_it_back(service: Running) -> None:
    ca = certificates.load_certificate(service.ca_pem)

    async def serials() -> frozenset[int]:
        async with service.client() as everybody:
            crl = await everybody.revocation_list()
            assert crl is not None
            return RevocationList.from_der(crl.body, ca=ca).serials

    async with service.client(new_secret()) as client, service.client() as store:
        (licence,) = (await client.redeem(service.token(purchase="order-1"))).licences
        csr = certificates.make_csr(certificates.new_key())
        issued = await client.licence_certificate(licence.licence_id, csr)
        serial = certificates.load_certificate(issued.certificate).serial_number
        token = revocation(service, "order-1", RevocationKind.CHARGEBACK)
        revoked = RevocationAnswer("order-1", LicenceState.REVOKED, licences=1)
        for _ in range(2):
            assert await store.revoke(token) == revoked
        assert await serials() == {serial}
        with pytest.raises(LicensingRefused) as caught:
            await client.licence_certificate(licence.licence_id, csr)
        assert caught.value.problem_type == ProblemType.LICENCE_REVOKED
        back = await store.revoke(revocation(service, "order-1", RevocationKind.REINSTATE))
        assert back == RevocationAnswer("order-1", LicenceState.ACTIVE, licences=1)
        # The chargeback's token again, from whoever kept it, changes nothing any more.
        assert (await store.revoke(token)).state is LicenceState.ACTIVE
        assert await serials() == frozenset()
        await client.licence_certificate(licence.licence_id, csr)


async def test_purchase_taken_back_before_it_is_redeemed(service: Running) -> None:
    token = service.token(purchase="order-1")
    async with service.client(new_secret()) as client:
        await client.revoke(revocation(service, "order-1", RevocationKind.REFUND))
        with pytest.raises(LicensingRefused) as caught:
            await client.redeem(token)
        assert caught.value.problem_type == ProblemType.PURCHASE_REVOKED
        await client.revoke(revocation(service, "order-1", RevocationKind.REINSTATE))
        assert len((await client.redeem(token)).licences) == 1


async def test_topup_charged_back_tells_the_store_what_is_missing(service: Running) -> None:
    async with service.client(new_secret()) as client:
        await client.redeem(credit(service, purchase="topup-1"))
        await client.buy(REQUEST, idempotency_key="k-1")
        token = revocation(service, "topup-1", RevocationKind.CHARGEBACK)
        answer = await client.revoke(token)
        assert answer.shortfall == Money(PRICE, "EUR")
        assert await client.balances() == ()


async def test_bad_revocation_tokens_are_refused_with_their_reason(service: Running) -> None:
    past = utc_now() - dt.timedelta(hours=3)
    refund = RevocationKind.REFUND
    tokens = {
        "malformed": "a.b",
        "type": service.token(),
        "issuer": revocation(service, "p", refund, issuer="unknown shop"),
        "audience": revocation(service, "p", refund, audience="https://elsewhere.example"),
        "expired": revocation(service, "p", refund, issued_at=past, expires_at=past + HOUR),
    }
    async with service.http() as http:
        for reason, token in tokens.items():
            answer = await http.post("/v1/revocations", json={"revocation_token": token})
            assert problem(answer) is ProblemType.REVOCATION_TOKEN_REFUSED
            assert answer.json()["reason"] == reason
            assert len(token) < 9 or token.split(".")[1] not in answer.text
        empty = await http.post("/v1/revocations", json={})
        assert problem(empty) is ProblemType.MALFORMED_REQUEST
