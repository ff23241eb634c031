"""`/v1/revocations`."""

from collections.abc import Sequence

from litestar import post
from litestar.controller import Controller
from litestar.di import NamedDependency
from litestar.params import JSONBody

from client_lib.wire.licensing_api import RevocationAnswer, RevocationRequest
from client_lib.wire.problem import ProblemType
from licensing.http.problems import problem_responses
from licensing.services import Services


class RevocationController(Controller):
    """Stores take purchases back. The token says who asks: it is signed by the store."""

    path = "/v1/revocations"
    tags: Sequence[str] | None = ("stores",)

    @post(
        status_code=200,
        responses=problem_responses(ProblemType.REVOCATION_TOKEN_REFUSED, ProblemType.TOO_LARGE),
    )
    async def apply(
        self, data: JSONBody[RevocationRequest], services: NamedDependency[Services]
    ) -> RevocationAnswer:
        """Refund, charge back or reinstate a purchase; repeat it as often as needed."""
        return await services.revocations.apply(data.revocation_token, now=services.clock())
