"""The ASGI application: all controllers, body limits, problem documents, OpenAPI."""

from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from licensing.http.authority import AuthorityController
from licensing.http.description import describe
from licensing.http.health import healthz, openapi_document, readyz
from licensing.http.licences import LicenceController
from licensing.http.problems import EXCEPTION_HANDLERS
from licensing.http.purchases import PurchaseController, quote_release
from licensing.http.redemptions import RedemptionController
from licensing.http.releases import ReleaseController
from licensing.http.revocations import RevocationController
from licensing.services import Services

MAX_BODY_BYTES = 64 << 10

_HANDLERS: list[ControllerRouterHandler] = [
    RedemptionController,
    LicenceController,
    PurchaseController,
    quote_release,
    RevocationController,
    ReleaseController,
    AuthorityController,
    healthz,
    readyz,
]


def new_api(services: Services) -> Litestar:
    """Make the application that serves `services`."""

    async def provide_services() -> Services:
        return services

    return Litestar(
        [*_HANDLERS, openapi_document],
        dependencies={"services": Provide(provide_services)},
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
        state=State({"openapi": openapi_schema(), "services": services}),
    )


def openapi_schema() -> dict[str, Any]:
    """Describe the API (OpenAPI 3.1)."""
    return describe(_HANDLERS)
