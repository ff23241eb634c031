"""`/v1/licences`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litestar import Response, get, post
from litestar.controller import Controller
from litestar.di import NamedDependency, Provide
from litestar.openapi.spec import SecurityRequirement
from litestar.params import FromPath, JSONBody

from client_lib.errors import IdentifierError
from client_lib.wire.licence import LicenceId, parse_licence_id
from client_lib.wire.licensing_api import CertificateAnswer, CertificateRequest, Library
from client_lib.wire.problem import ProblemType
from licensing.http.authentication import DEVICE_SECURITY, provide_device_id
from licensing.http.problems import problem_responses
from licensing.refusal import Refusal
from licensing.services import Services

TORRENT_MEDIA_TYPE = "application/x-bittorrent"
_REFUSALS = (
    ProblemType.UNKNOWN_DEVICE,
    ProblemType.UNKNOWN_LICENCE,
    ProblemType.LICENCE_REVOKED,
    ProblemType.DEVICE_LIMIT_REACHED,
)


class LicenceController(Controller):
    """A device's library, its certificates and torrents."""

    path = "/v1/licences"
    tags: Sequence[str] | None = ("devices",)
    dependencies: Mapping[str, Provide | Callable[..., Any]] | None = {
        "device_id": Provide(provide_device_id)
    }
    security: Sequence[SecurityRequirement] | None = DEVICE_SECURITY

    @get(responses=problem_responses(ProblemType.UNKNOWN_DEVICE))
    async def library(
        self, device_id: NamedDependency[str], services: NamedDependency[Services]
    ) -> Library:
        """Every licence of this device, oldest first."""
        return await services.licences.library(device_id)

    @post(
        "/{licence_id:str}/certificate",
        responses=problem_responses(*_REFUSALS, ProblemType.CSR_REFUSED, ProblemType.TOO_LARGE),
    )
    async def certificate(
        self,
        licence_id: FromPath[str],
        data: JSONBody[CertificateRequest],
        device_id: NamedDependency[str],
        services: NamedDependency[Services],
    ) -> CertificateAnswer:
        """Get a licence certificate (24 hours) for the key of a CSR."""
        return await services.licences.certificate(
            _known(licence_id), device_id, data.csr, now=services.clock()
        )

    @get(
        "/{licence_id:str}/torrent",
        media_type=TORRENT_MEDIA_TYPE,
        responses=problem_responses(*_REFUSALS),
    )
    async def torrent(
        self,
        licence_id: FromPath[str],
        device_id: NamedDependency[str],
        services: NamedDependency[Services],
    ) -> Response[bytes]:
        """Get the customer's own torrent, signed by the store (BEP 35)."""
        torrent = await services.licences.torrent(
            _known(licence_id), device_id, now=services.clock()
        )
        return Response(torrent, media_type=TORRENT_MEDIA_TYPE)


def _known(text: str) -> LicenceId:
    try:
        return parse_licence_id(text)
    except IdentifierError as error:
        raise Refusal(ProblemType.UNKNOWN_LICENCE, "this device holds no such licence") from error
