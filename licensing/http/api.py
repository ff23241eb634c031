"""The ASGI application: all controllers, request limits, problem documents, OpenAPI."""

import time
from typing import Any

import structlog
import trio
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Reference, SecurityScheme
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE
from litestar.types import ASGIApp, ControllerRouterHandler, Message, Receive, Scope, Send

from client_lib import __version__
from licensing.http.authority import AuthorityController
from licensing.http.health import healthz, openapi_document, readyz
from licensing.http.licences import LicenceController
from licensing.http.problems import EXCEPTION_HANDLERS
from licensing.http.redemptions import RedemptionController
from licensing.http.releases import ReleaseController
from licensing.services import Services

MAX_BODY_BYTES = 64 << 10
_DRAINED_BYTES = 64 << 20
_DRAINED_S = 10.0

_HANDLERS: list[ControllerRouterHandler] = [
    RedemptionController,
    LicenceController,
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
        middleware=[_log_requests],
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
        state=State({"openapi": openapi_schema()}),
    )


def openapi_schema() -> dict[str, Any]:
    """Describe the API (OpenAPI 3.1).

    From an application of its own: Litestar's plugin would bring pages that load scripts from
    elsewhere, and errors that are not problem documents.
    """

    async def provide_services() -> Services:
        raise NotImplementedError("this application is described, never called")

    schemes: dict[str, SecurityScheme | Reference] = {
        "device": SecurityScheme("http", "The device secret, base64url", scheme="bearer"),
        "api-key": SecurityScheme("http", "An API key, `askey_…`", scheme="bearer"),
    }
    config = OpenAPIConfig(
        title="albumswarm licensing",
        version=__version__,
        description="Payment tokens in, licences, certificates and torrents out.",
        components=Components(security_schemes=schemes),
    )
    described = Litestar(
        _HANDLERS,
        dependencies={"services": Provide(provide_services)},
        openapi_config=config,
        logging_config=None,
    )
    return described.openapi_schema.to_schema()


def _log_requests(app: ASGIApp) -> ASGIApp:
    """Log one line per request: no headers, no query, no body, so nothing secret."""

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
                    await _drain(receive)
                structlog.get_logger().info(
                    "request",
                    method=scope.get("method"),
                    path=scope["path"],
                    status=message["status"],
                    duration_ms=round((time.perf_counter() - started) * 1000, 1),
                )
            await send(message)

        await app(scope, receive, send_and_log)

    return logged


async def _drain(receive: Receive) -> None:
    """Read the rest of a body that is refused, up to a limit.

    Closing on unread data resets the connection, and the client would never see the answer.
    """
    left = _DRAINED_BYTES
    with trio.move_on_after(_DRAINED_S):
        while left > 0:
            message = await receive()
            if message["type"] != "http.request" or not message["more_body"]:
                return
            left -= len(message["body"])
