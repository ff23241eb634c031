"""The OpenAPI 3.1 document of the API, with an example of every body and every problem."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Reference, SecurityScheme
from litestar.types import ControllerRouterHandler

from client_lib import __version__
from client_lib.wire.problem import MEDIA_TYPE, ProblemType
from licensing.http.examples import CALLS, example_problem
from licensing.http.problems import STATUSES
from licensing.services import Services

_ROLE = " (reason role)"


def describe(handlers: Sequence[ControllerRouterHandler]) -> dict[str, Any]:
    """Describe what the handlers answer.

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
        handlers,
        dependencies={"services": Provide(provide_services)},
        openapi_config=config,
        logging_config=None,
    )
    document = described.openapi_schema.to_schema()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _add_examples(f"{method} {path}", operation)
    return document


def _add_examples(call: str, operation: dict[str, Any]) -> None:
    example = CALLS[call]
    if example.request is not None:
        for content in operation["requestBody"]["content"].values():
            content["examples"] = {"example": {"value": msgspec.to_builtins(example.request)}}
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            if media_type == MEDIA_TYPE:
                content["examples"] = _problems(int(status), response["description"])
            else:
                content["examples"] = {"example": {"value": msgspec.to_builtins(example.answer)}}


def _problems(status: int, names: str) -> dict[str, Any]:
    """An example of each problem type that a response's description names."""
    examples = {}
    for name in names.split(", "):
        type_ = ProblemType(name.removesuffix(_ROLE))
        problem = example_problem(type_)
        if status != STATUSES[type_][0]:
            problem = msgspec.structs.replace(problem, status=status, reason="role")
        examples[type_.value.rpartition(":")[2]] = {"value": msgspec.to_builtins(problem)}
    return examples
