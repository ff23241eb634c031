"""`/v1/balance`, `/v1/releases/{release_id}` and `/v1/purchases`: prepaid credit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.controller import Controller
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema, SecurityRequirement
from litestar.params import FromPath, JSONBody

from client_lib.errors import IdentifierError
from client_lib.wire.licensing_api import (
    BalanceAnswer,
    PurchaseAnswer,
    PurchaseRequest,
    ReleaseQuote,
)
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import parse_release_id
from licensing.http.authentication import DEVICE_SECURITY, provide_device_id
from licensing.http.problems import AnyRequest, problem_responses
from licensing.purchases import parse_idempotency_key
from licensing.refusal import Refusal
from licensing.services import Services

_KEY_HEADER = "Idempotency-Key"


@dataclass
class _WithIdempotencyKey(Operation):
    """Describes the header, which is read by hand: its absence is a problem type of its own."""

    def __post_init__(self) -> None:
        key = Parameter(
            name=_KEY_HEADER,
            param_in="header",
            required=True,
            description="New for each purchase, the same for its repetitions; bare or as a"
            " structured-field string",
            schema=Schema(type=OpenAPIType.STRING, pattern="^[!#-~][!-~]{0,63}$"),
        )
        self.parameters = [*(self.parameters or []), key]


class PurchaseController(Controller):
    """A device's credit, and what it buys."""

    path = "/v1"
    tags: Sequence[str] | None = ("devices",)
    dependencies: Mapping[str, Provide | Callable[..., Any]] | None = {
        "device_id": Provide(provide_device_id)
    }
    security: Sequence[SecurityRequirement] | None = DEVICE_SECURITY

    @get("/balance", responses=problem_responses(ProblemType.UNKNOWN_DEVICE))
    async def balance(
        self, device_id: NamedDependency[str], services: NamedDependency[Services]
    ) -> BalanceAnswer:
        """Prepaid credit that this device may spend."""
        return BalanceAnswer(await services.purchases.balances(device_id))

    @post(
        "/purchases",
        operation_class=_WithIdempotencyKey,
        responses={
            200: ResponseSpec(
                PurchaseAnswer,
                generate_examples=False,
                description="The customer owns it already; nothing was charged",
            ),
            **problem_responses(
                ProblemType.UNKNOWN_DEVICE,
                ProblemType.IDEMPOTENCY_KEY_REFUSED,
                ProblemType.IDEMPOTENCY_KEY_REUSED,
                ProblemType.INSUFFICIENT_CREDIT,
                ProblemType.NOT_FOR_SALE,
                ProblemType.UNKNOWN_RELEASE,
                ProblemType.DEVICE_LIMIT_REACHED,
                ProblemType.TOO_LARGE,
            ),
        },
    )
    async def buy(
        self,
        request: AnyRequest,
        data: JSONBody[PurchaseRequest],
        device_id: NamedDependency[str],
        services: NamedDependency[Services],
    ) -> Response[PurchaseAnswer]:
        """Buy a release with prepaid credit; repeat it with the same key as often as needed."""
        key = parse_idempotency_key(request.headers.getall(_KEY_HEADER, []))
        answer = await services.purchases.buy(data, device_id, key, now=services.clock())
        return Response(answer, status_code=200 if answer.already_owned else 201)


@get(
    "/v1/releases/{release_id:str}",
    tags=["public"],
    responses=problem_responses(ProblemType.UNKNOWN_RELEASE),
)
async def quote_release(
    release_id: FromPath[str], services: NamedDependency[Services]
) -> Response[ReleaseQuote]:
    """Get every format of a release, with its size and its prices in prepaid credit."""
    try:
        known = parse_release_id(release_id)
    except IdentifierError as error:
        raise Refusal(ProblemType.UNKNOWN_RELEASE, "there is no such release") from error
    quote = await services.purchases.quote(known)
    return Response(quote, headers={"Cache-Control": "public, max-age=60"})
