"""Who asks: a device by its secret, a node or publisher by its API key (RFC 6750)."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler

from client_lib.errors import IdentifierError
from client_lib.wire.licence import DeviceSecret
from client_lib.wire.problem import ProblemType
from licensing import api_keys
from licensing.http.problems import AnyRequest
from licensing.ledger import ApiKey, Role
from licensing.refusal import Refusal
from licensing.services import Services

AnyConnection = ASGIConnection[Any, Any, Any, State]
AsyncGuard = Callable[[AnyConnection, BaseRouteHandler], Awaitable[None]]

DEVICE_SECURITY = [{"device": list[str]()}]
API_KEY_SECURITY = [{"api-key": list[str]()}]


async def provide_device_id(request: AnyRequest, services: NamedDependency[Services]) -> str:
    """Give the id (hash) of the device whose secret the request carries.

    `services` for the order alone: Litestar resolves dependencies that do not depend on each
    other in a task group, which costs 0.1 ms a request.
    """
    del services
    try:
        return DeviceSecret.from_bearer(_bearer(request)).device_id
    except IdentifierError as error:
        raise Refusal(
            ProblemType.UNKNOWN_DEVICE, "a device secret is needed (Authorization: Bearer)"
        ) from error


def provide_api_key(*roles: Role) -> Callable[[AnyRequest, Services], Awaitable[ApiKey]]:
    """Give the API key of a request, if it has one of the roles."""

    async def provide(request: AnyRequest, services: NamedDependency[Services]) -> ApiKey:
        return await api_keys.authenticate(
            services.ledger, _bearer(request), allowed=frozenset(roles)
        )

    return provide


def require_api_key(*roles: Role) -> AsyncGuard:
    """Refuse others before the body is read: nobody else shall have us keep 24 MiB of it."""

    async def guard(connection: AnyConnection, handler: BaseRouteHandler) -> None:
        del handler
        await api_keys.authenticate(
            connection.app.state.services.ledger, _bearer(connection), allowed=frozenset(roles)
        )

    return guard


def _bearer(connection: AnyConnection) -> str:
    scheme, _, credentials = connection.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""
