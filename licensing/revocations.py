"""Revocations: a store's refunds and chargebacks, by tokens that it signs."""

import datetime as dt
from dataclasses import dataclass

from client_lib.errors import RevocationTokenError
from client_lib.wire import revocation_token
from client_lib.wire.licensing_api import RevocationAnswer
from client_lib.wire.problem import ProblemType
from client_lib.wire.revocation_token import RevocationToken
from licensing.issuers import Issuers
from licensing.ledger import Ledger, Revocation
from licensing.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Revocations:
    """Verifies revocation tokens against the issuers' keys and applies them."""

    ledger: Ledger
    issuers: Issuers
    audience: str
    leeway_s: int

    async def apply(self, compact: str, *, now: dt.datetime) -> RevocationAnswer:
        """See `Ledger.apply_revocation`. Raises Refusal revocation-token-refused."""
        try:
            token = await self.issuers.verified(
                lambda keys: revocation_token.verify(
                    compact,
                    keys=keys,
                    audience=self.audience,
                    now=now,
                    leeway_s=self.leeway_s,
                )
            )
        except RevocationTokenError as error:
            raise Refusal(
                ProblemType.REVOCATION_TOKEN_REFUSED, str(error), reason=error.reason
            ) from error
        revocation = Revocation(
            store=token.issuer,
            token_id=token.token_id,
            digest=token.digest,
            purchase=token.purchase,
            kind=token.kind,
            expired_at=self._expired_at(token, now),
        )
        return await self.ledger.apply_revocation(revocation, now=now)

    def _expired_at(self, token: RevocationToken, now: dt.datetime) -> dt.datetime | None:
        # Whether it was taken in time only the ledger knows, inside its transaction.
        try:
            token.require_unexpired(now, leeway_s=self.leeway_s)
        except RevocationTokenError:
            return token.expires_at
        return None
