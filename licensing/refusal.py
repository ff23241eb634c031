"""Refusals: what licensing says no to. `http` alone turns them into problem documents."""

from client_lib.errors import RefusedError
from client_lib.wire.money import Money
from client_lib.wire.problem import ProblemType

ROLE_REASON = "role"
"""Reason of api-key-refused for a key that is valid, but not for this call."""


class Refusal(RefusedError):
    """A request that is refused for a reason the asker may know; nothing was recorded.

    `reason` is a stable word that refines the type, or "".
    """

    def __init__(
        self,
        problem_type: ProblemType,
        detail: str,
        *,
        reason: str = "",
        balance: Money | None = None,
        price: Money | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Take the problem type and one sentence without anything secret in it.

        `balance` and `price` tell insufficient-credit in numbers, `retry_after_s` when asking
        again makes sense.
        """
        super().__init__(detail)
        self.balance = balance
        self.price = price
        self.problem_type = problem_type
        self.detail = detail
        self.reason = reason
        self.retry_after_s = retry_after_s
