"""Refusals: what licensing says no to. `http` alone turns them into problem documents."""

from client_lib.errors import RefusedError
from client_lib.wire.problem import ProblemType

ROLE_REASON = "role"
"""Reason of api-key-refused for a key that is valid, but not for this call."""


class Refusal(RefusedError):
    """A request that is refused for a reason the asker may know; nothing was recorded.

    `reason` is a stable word that refines the type, or "".
    """

    def __init__(self, problem_type: ProblemType, detail: str, *, reason: str = "") -> None:
        """Take the problem type and one sentence without anything secret in it."""
        super().__init__(detail)
        self.problem_type = problem_type
        self.detail = detail
        self.reason = reason
