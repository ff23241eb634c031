"""`/healthz`, `/readyz` and `/openapi.json`."""

from typing import Any

from litestar import MediaType, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from client_lib.wire.problem import ProblemType
from licensing.http.problems import problem_responses
from licensing.refusal import Refusal
from licensing.services import Services


@get("/healthz", media_type=MediaType.TEXT, tags=["operation"])
async def healthz() -> str:
    """Answer as long as the process does; restart it when this fails."""
    return "ok\n"


@get(
    "/readyz",
    media_type=MediaType.TEXT,
    tags=["operation"],
    responses=problem_responses(ProblemType.NOT_READY),
)
async def readyz(services: NamedDependency[Services]) -> str:
    """Answer if requests can be served.

    The ledger can be written, the CRL is fresh, the swarm CA does not end within a week, the
    torrent signer's certificate is valid, and some store's keys are known.
    """
    obstacles = await services.readiness.obstacles(services.clock())
    if obstacles:
        raise Refusal(ProblemType.NOT_READY, "; ".join(obstacles))
    return "ready\n"


@get("/openapi.json", include_in_schema=False)
async def openapi_document(state: State) -> Response[dict[str, Any]]:
    """Get the OpenAPI 3.1 description of this service."""
    return Response(state.openapi, media_type="application/vnd.oai.openapi+json")
