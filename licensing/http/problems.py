"""Errors become responses here and nowhere else: problem documents (RFC 9457)."""

import re
from typing import Any

import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap

from client_lib.errors import StorageError
from client_lib.wire.money import Money
from client_lib.wire.problem import MEDIA_TYPE, Problem, ProblemType, encode_problem
from licensing.refusal import ROLE_REASON, Refusal
from licensing.serving.exchange import BodyRefused

AnyRequest = Request[Any, Any, State]

STATUSES: dict[ProblemType, tuple[int, str]] = {
    ProblemType.MALFORMED_REQUEST: (400, "Malformed request"),
    ProblemType.UNKNOWN_DEVICE: (401, "Unknown device"),
    ProblemType.API_KEY_REFUSED: (401, "API key refused"),
    ProblemType.PAYMENT_TOKEN_REFUSED: (422, "Payment token refused"),
    ProblemType.TOKEN_ALREADY_REDEEMED: (409, "Payment token already redeemed"),
    ProblemType.PURCHASE_MISMATCH: (409, "Purchase does not match"),
    ProblemType.PURCHASE_REVOKED: (403, "Purchase revoked"),
    ProblemType.DEVICE_LIMIT_REACHED: (403, "Device limit reached"),
    ProblemType.REVOCATION_TOKEN_REFUSED: (422, "Revocation token refused"),
    ProblemType.IDEMPOTENCY_KEY_REFUSED: (400, "Idempotency key refused"),
    ProblemType.IDEMPOTENCY_KEY_REUSED: (422, "Idempotency key used for another purchase"),
    ProblemType.INSUFFICIENT_CREDIT: (402, "Insufficient credit"),
    ProblemType.NOT_FOR_SALE: (422, "Not for sale in this currency"),
    ProblemType.UNKNOWN_RELEASE: (404, "Unknown release"),
    ProblemType.UNKNOWN_LICENCE: (404, "Unknown licence"),
    ProblemType.LICENCE_REVOKED: (403, "Licence revoked"),
    ProblemType.CSR_REFUSED: (422, "CSR refused"),
    ProblemType.TORRENT_REFUSED: (422, "Torrent refused"),
    ProblemType.RELEASE_CONFLICT: (409, "Release exists with other content"),
    ProblemType.NOT_FOUND: (404, "Not found"),
    ProblemType.METHOD_NOT_ALLOWED: (405, "Method not allowed"),
    ProblemType.TOO_LARGE: (413, "Request too large"),
    ProblemType.TOO_SLOW: (408, "Request too slow"),
    ProblemType.TOO_MANY_REQUESTS: (429, "Too many requests"),
    ProblemType.NOT_READY: (503, "Not ready"),
    ProblemType.INTERNAL: (500, "Internal error"),
}
"""HTTP status and title of every problem type."""

_ROLE_STATUS = 403  # an API key that is valid, but not for this call (reason `role`)

_LONG_WORD = re.compile(r"[\w.~+/=-]{30,}")

_BY_STATUS = {
    404: (ProblemType.NOT_FOUND, "there is nothing at this path"),
    405: (ProblemType.METHOD_NOT_ALLOWED, "this path does not know this method"),
    413: (ProblemType.TOO_LARGE, "the request body is larger than this call takes"),
}


EVERYWHERE = (
    ProblemType.MALFORMED_REQUEST,
    ProblemType.TOO_MANY_REQUESTS,
    ProblemType.NOT_READY,
    ProblemType.INTERNAL,
)
"""Problems of every call."""


def problem_responses(*types: ProblemType) -> dict[int, ResponseSpec]:
    """Document problems of a call for the OpenAPI document, besides those of every call."""
    with_body = (ProblemType.TOO_SLOW,) if ProblemType.TOO_LARGE in types else ()
    by_status: dict[int, list[str]] = {}
    for type_ in dict.fromkeys((*types, *with_body, *EVERYWHERE)):
        by_status.setdefault(STATUSES[type_][0], []).append(type_.value)
        if type_ is ProblemType.API_KEY_REFUSED:
            by_status.setdefault(_ROLE_STATUS, []).append(f"{type_.value} (reason role)")
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, description=", ".join(names), media_type=MEDIA_TYPE
        )
        for status, names in by_status.items()
    }


def _response(
    type_: ProblemType,
    detail: str,
    *,
    reason: str = "",
    headers: dict[str, str] | None = None,
    balance: Money | None = None,
    price: Money | None = None,
) -> Response[bytes]:
    status, title = STATUSES[type_]
    if type_ is ProblemType.API_KEY_REFUSED and reason == ROLE_REASON:
        status = _ROLE_STATUS
    headers = dict(headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="albumswarm"'  # RFC 6750, section 3
    if status == 503:
        headers.setdefault("Retry-After", "5")
    headers["Cache-Control"] = "no-store"
    problem = Problem(
        type=type_.value,
        title=title,
        status=status,
        detail=detail[:2000],
        reason=reason,
        balance=balance,
        price=price,
    )
    return Response(
        encode_problem(problem), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


def _refused(_request: AnyRequest, error: Refusal) -> Response[bytes]:
    wait_s = error.retry_after_s
    return _response(
        error.problem_type,
        error.detail,
        reason=error.reason,
        headers=None if wait_s is None else {"Retry-After": str(wait_s)},
        balance=error.balance,
        price=error.price,
    )


def _storage_failed(request: AnyRequest, error: StorageError) -> Response[bytes]:
    structlog.get_logger().error("storage failed", path=_route(request), error=str(error))
    return _response(
        ProblemType.NOT_READY, "licensing cannot use its ledger now; nothing was recorded"
    )


def _http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Litestar's own errors: unknown path, wrong method, a body that does not parse."""
    if error.status_code >= 500:
        return _unknown(request, error)
    type_, detail = _BY_STATUS.get(error.status_code, (ProblemType.MALFORMED_REQUEST, ""))
    allow = (error.headers or {}).get("allow")
    headers = {"Allow": allow} if allow else None
    return _response(type_, detail or _in_words(error), headers=headers)


def _in_words(error: HTTPException) -> str:
    """Say which field is wrong; `extra` is Litestar's list of what it found."""
    found = error.extra if isinstance(error.extra, list) else []
    wrong = [
        f"{entry.get('key', 'body')}: {entry.get('message', '')}"
        for entry in found
        if isinstance(entry, dict)
    ]
    # What was sent may be a token in the wrong place: nothing as long as one is repeated.
    return _LONG_WORD.sub("…", "; ".join(wrong) or error.detail)


def _body_refused(_request: AnyRequest, error: BodyRefused) -> Response[bytes]:
    if error.too_slow:
        return _response(ProblemType.TOO_SLOW, "the request body came too slowly")
    return _response(ProblemType.MALFORMED_REQUEST, "the request body is not framed as HTTP says")


def _hostile_json(_request: AnyRequest, _error: Exception) -> Response[bytes]:
    # msgspec raises these beside its own errors, which Litestar knows.
    return _response(ProblemType.MALFORMED_REQUEST, "the body is not JSON that can be read")


def _unknown(request: AnyRequest, error: Exception) -> Response[bytes]:
    # A bug. Where it happened, but not its message: that could repeat a token.
    structlog.get_logger().error(
        "internal error", path=_route(request), error=type(error).__qualname__, at=_where(error)
    )
    return _response(ProblemType.INTERNAL, "licensing failed on this request; it was logged")


def _where(error: BaseException) -> list[str]:
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-5:]


def _route(request: AnyRequest) -> str:
    return request.scope["path"]


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Refusal: _refused,
    StorageError: _storage_failed,
    BodyRefused: _body_refused,
    HTTPException: _http_error,
    RecursionError: _hostile_json,
    UnicodeDecodeError: _hostile_json,
    Exception: _unknown,
}
