"""Redemption: a payment token in the hands of a device becomes licences, or prepaid credit."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from client_lib.errors import PaymentTokenError
from client_lib.wire import payment_token
from client_lib.wire.licence import licence_id_from
from client_lib.wire.payment_token import PaymentToken
from client_lib.wire.problem import ProblemType
from licensing.issuers import Issuers
from licensing.ledger import Ledger, Line, Redeemed, Redemption, TopUp
from licensing.pricing import PriceList
from licensing.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Redemptions:
    """Verifies tokens against the issuers' keys and records them in the ledger.

    `random_bytes` is a source of cryptographic randomness, as `secrets.token_bytes`.
    """

    ledger: Ledger
    issuers: Issuers
    audience: str
    leeway_s: int
    prices: PriceList
    random_bytes: Callable[[int], bytes]

    async def redeem(self, compact: str, device_id: str, *, now: dt.datetime) -> Redeemed:
        """See `Ledger.redeem`. Raises Refusal."""
        try:
            token = await self.issuers.verified(
                lambda keys: payment_token.verify(
                    compact,
                    keys=keys,
                    audience=self.audience,
                    now=now,
                    leeway_s=self.leeway_s,
                    check_expiry=False,
                )
            )
        except PaymentTokenError as error:
            raise Refusal(
                ProblemType.PAYMENT_TOKEN_REFUSED, str(error), reason=error.reason
            ) from error
        return await self.ledger.redeem(self._redemption(token, device_id, now), now=now)

    def _redemption(self, token: PaymentToken, device_id: str, now: dt.datetime) -> Redemption:
        lines = tuple(
            Line(
                item.name, item.amount_minor, item.currency, licence_id_from(self.random_bytes(16))
            )
            for item in token.items
        )
        return Redemption(
            store=token.issuer,
            token_id=token.token_id,
            digest=token.digest,
            purchase=token.purchase,
            subject=token.subject,
            device_limit=token.device_limit,
            device_id=device_id,
            lines=lines,
            expired_at=self._expired_at(token, now),
            topup=TopUp(token.credit.amount_minor, token.credit.currency) if token.credit else None,
            spendable=token.credit is None or token.credit.currency in self.prices.currencies,
        )

    def _expired_at(self, token: PaymentToken, now: dt.datetime) -> dt.datetime | None:
        # Whether it was redeemed in time only the ledger knows, inside its transaction.
        try:
            token.require_unexpired(now, leeway_s=self.leeway_s)
        except PaymentTokenError:
            return token.expires_at
        return None
