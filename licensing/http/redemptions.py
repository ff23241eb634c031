"""`/v1/redemptions`."""

from collections.abc import Sequence

from litestar import Response, post
from litestar.controller import Controller
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from client_lib.wire.licensing_api import RedemptionAnswer, RedemptionRequest
from client_lib.wire.problem import ProblemType
from licensing.http.authentication import DEVICE_SECURITY, provide_device_id
from licensing.http.problems import problem_responses
from licensing.services import Services


class RedemptionController(Controller):
    """Payment tokens become licences or prepaid credit."""

    path = "/v1/redemptions"
    tags: Sequence[str] | None = ("devices",)

    @post(
        dependencies={"device_id": Provide(provide_device_id)},
        security=DEVICE_SECURITY,
        responses={
            200: ResponseSpec(
                RedemptionAnswer,
                generate_examples=False,
                description="Redeemed before; nothing new",
            ),
            **problem_responses(
                ProblemType.UNKNOWN_DEVICE,
                ProblemType.PAYMENT_TOKEN_REFUSED,
                ProblemType.TOKEN_ALREADY_REDEEMED,
                ProblemType.PURCHASE_MISMATCH,
                ProblemType.PURCHASE_REVOKED,
                ProblemType.DEVICE_LIMIT_REACHED,
                ProblemType.UNKNOWN_RELEASE,
                ProblemType.TOO_LARGE,
            ),
        },
    )
    async def redeem(
        self,
        data: JSONBody[RedemptionRequest],
        device_id: NamedDependency[str],
        services: NamedDependency[Services],
    ) -> Response[RedemptionAnswer]:
        """Redeem a payment token; repeat it as often as needed from the same device."""
        redeemed = await services.redemptions.redeem(
            data.payment_token, device_id, now=services.clock()
        )
        answer = RedemptionAnswer(redeemed.licences, redeemed.balances)
        return Response(answer, status_code=200 if redeemed.repeated else 201)
