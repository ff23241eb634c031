"""Customers who buy, top up, spend and send back, and know to the cent what must be theirs.

Each of them has one device and does one thing at a time. A request that gets no answer is sent
again, the same one, until it is acknowledged: so at the end the ledger must hold exactly what
the customer believes, however often it was killed in between.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import trio

from client_lib.wire import certificates, revocation_token
from client_lib.wire.licence import DeviceSecret
from client_lib.wire.payment_token import Credit
from client_lib.wire.revocation_token import RevocationKind
from licensing.config import utc_now
from licensing.issuers import key_id, load_private_key
from tests.drills.fleet import Fleet, Ordered
from tests.integration.licensing.running import STORE, Running

CURRENCY = "EUR"
_LIFE = dt.timedelta(hours=1)


@dataclass
class Purchase:
    """What a customer has bought at once."""

    purchase: str
    licence_id: str
    name: str
    price_minor: int
    from_credit: bool
    active: bool = True
    serials: set[int] = field(default_factory=set)


@dataclass
class Customer:
    """One customer with one device. `prices` by torrent name."""

    name: str
    secret: DeviceSecret
    prices: Mapping[str, int]
    rng: random.Random
    balance_minor: int = 0
    purchases: list[Purchase] = field(default_factory=list)
    acknowledged: Counter[str] = field(default_factory=Counter)

    @property
    def sales(self) -> int:
        return len(self.purchases)

    async def live(self, fleet: Fleet, enough: trio.Event) -> None:
        """Do one thing after the other until it is enough; the last one to its end."""
        while not enough.is_set():
            what = self.rng.choice(self._possible())
            await what(fleet)
            self.acknowledged[what.__name__.strip("_")] += 1

    def _possible(self) -> Sequence[Callable[[Fleet], Awaitable[None]]]:
        possible = [self._redeem, self._redeem, self._top_up]
        if self.balance_minor >= max(self.prices.values()):
            possible += [self._buy, self._buy]
        if any(purchase.active for purchase in self.purchases):
            possible += [self._certify, self._revoke]
        if not all(purchase.active for purchase in self.purchases):
            possible.append(self._reinstate)
        return possible

    async def _redeem(self, fleet: Fleet) -> None:
        name, number = self.rng.choice(list(self.prices)), f"{self.name}-{self.sales}"
        answer = await self._redeemed(fleet, number, name)
        (licence,) = answer["licences"]
        self.purchases.append(Purchase(number, licence["licence_id"], name, 999, from_credit=False))

    async def _top_up(self, fleet: Fleet) -> None:
        amount = self.rng.randrange(500, 3_000)
        number = f"{self.name}-topup-{self.acknowledged['top_up']}"
        answer = await self._redeemed(fleet, number, items=(), credit=Credit(amount, CURRENCY))
        self.balance_minor += amount
        self._require_balance(answer["balances"])

    async def _redeemed(self, fleet: Fleet, purchase: str, *names: str, **claims: Any) -> Any:  # noqa: ANN401
        token = fleet.any_service.token(
            *names, subject=self.name, purchase=purchase, token_id=purchase, life=_LIFE, **claims
        )
        return await self._send(
            fleet, "POST", "/v1/redemptions", json={"payment_token": token}, fresh=201
        )

    async def _buy(self, fleet: Fleet) -> None:
        name = self.rng.choice(list(self.prices))
        release_id, _, format_ = name.partition(".")
        owned = any(bought.active and bought.name == name for bought in self.purchases)
        number = f"key-{self.acknowledged['buy']}"
        answer = await self._send(
            fleet,
            "POST",
            "/v1/purchases",
            json={"release_id": release_id, "format": format_, "currency": CURRENCY},
            headers={"Idempotency-Key": number},
            fresh=None,
        )
        price = self.prices[name]
        assert answer["already_owned"] is owned, answer
        if not owned:
            assert answer["charged_minor"] == price
            self.balance_minor -= price
            bought = Purchase(
                answer["purchase"], answer["licence"]["licence_id"], name, price, from_credit=True
            )
            self.purchases.append(bought)
        assert answer["balance_minor"] == self.balance_minor

    async def _certify(self, fleet: Fleet) -> None:
        purchase = self.rng.choice([purchase for purchase in self.purchases if purchase.active])
        csr = certificates.make_csr(certificates.new_key())
        answer = await self._send(
            fleet,
            "POST",
            f"/v1/licences/{purchase.licence_id}/certificate",
            json={"csr": csr},
            fresh=None,
        )
        leaf = certificates.load_certificate(answer["certificate"])
        purchase.serials.add(leaf.serial_number)

    async def _revoke(self, fleet: Fleet) -> None:
        purchase = self.rng.choice([purchase for purchase in self.purchases if purchase.active])
        kind = self.rng.choice([RevocationKind.REFUND, RevocationKind.CHARGEBACK])
        await self._apply(fleet, purchase, kind)
        purchase.active = False
        if purchase.from_credit:
            self.balance_minor += purchase.price_minor

    async def _reinstate(self, fleet: Fleet) -> None:
        purchase = self.rng.choice([purchase for purchase in self.purchases if not purchase.active])
        if purchase.from_credit and self.balance_minor < purchase.price_minor:
            return
        await self._apply(fleet, purchase, RevocationKind.REINSTATE)
        purchase.active = True
        if purchase.from_credit:
            self.balance_minor -= purchase.price_minor

    async def _apply(self, fleet: Fleet, purchase: Purchase, kind: RevocationKind) -> None:
        service = fleet.any_service
        key, now = load_private_key(service.folder.test_store_key), utc_now()
        token = revocation_token.mint(
            issuer=STORE,
            audience=service.config.token_audience,
            token_id=f"{self.name}-{self.acknowledged.total()}",
            purchase=purchase.purchase,
            kind=kind,
            issued_at=now,
            expires_at=now + _LIFE,
            key=key,
            kid=key_id(key.public_key()),
        )
        answer = await self._send(
            fleet, "POST", "/v1/revocations", json={"revocation_token": token}, fresh=None
        )
        assert answer["state"] == ("active" if kind is RevocationKind.REINSTATE else "revoked")

    async def _send(
        self,
        fleet: Fleet,
        method: str,
        path: str,
        *,
        fresh: int | None,
        **request: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Send until there is an answer, which must be yes."""
        ordered: Ordered = await fleet.send(self.secret, self.rng, method, path, **request)
        if ordered.attempts > 1:
            self.acknowledged["sent again"] += 1
            self.acknowledged["of those recorded before"] += fresh is not None and (
                ordered.answer.status_code != fresh
            )
        assert ordered.answer.status_code in (200, 201), ordered.answer.text
        return ordered.answer.json()

    def _require_balance(self, balances: Sequence[Mapping[str, Any]]) -> None:
        held = [balance["balance_minor"] for balance in balances]
        assert sum(held) == self.balance_minor, (self.name, held, self.balance_minor)

    async def require_everything(self, service: Running) -> None:
        """Nothing lost, nothing doubled, nothing of anybody else's."""
        async with service.http(self.secret.bearer) as http:
            library = (await http.get("/v1/licences")).json()["licences"]
            self._require_balance((await _get(http, "/v1/balance"))["balances"])
        found = {entry["licence_id"]: (entry["name"], entry["state"]) for entry in library}
        assert len(found) == len(library)
        assert found == {
            purchase.licence_id: (purchase.name, "active" if purchase.active else "revoked")
            for purchase in self.purchases
        }


async def _get(http: httpx2.AsyncClient, path: str) -> Any:  # noqa: ANN401
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()
