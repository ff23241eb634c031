"""`/v1/releases`."""

from collections.abc import Sequence
from typing import Annotated

from litestar import Response, get, put
from litestar.controller import Controller
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import SecurityRequirement
from litestar.params import FromPath, JSONBody, QueryParameter

from client_lib.errors import IdentifierError
from client_lib.wire.licensing_api import CatalogueEntry, CataloguePage, Publication
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import (
    TorrentName,
    parse_audio_format,
    parse_release_id,
    torrent_name,
)
from licensing.http.authentication import API_KEY_SECURITY, provide_api_key, require_api_key
from licensing.http.licences import TORRENT_MEDIA_TYPE
from licensing.http.problems import problem_responses
from licensing.ledger import ApiKey, Role
from licensing.refusal import Refusal
from licensing.services import Services

MAX_PUBLICATION_BYTES = 24 << 20
"""A torrent of 16 MiB in base64, and its album description."""

_READERS = provide_api_key(Role.SEEDER, Role.PUBLISHER)


class ReleaseController(Controller):
    """Publishing, and the catalogue feed."""

    path = "/v1/releases"
    tags: Sequence[str] | None = ("nodes",)
    security: Sequence[SecurityRequirement] | None = API_KEY_SECURITY

    @put(
        "/{release_id:str}/{audio_format:str}",
        status_code=201,
        request_max_body_size=MAX_PUBLICATION_BYTES,
        guards=[require_api_key(Role.PUBLISHER)],
        dependencies={"publisher": Provide(provide_api_key(Role.PUBLISHER))},
        responses={
            200: ResponseSpec(
                CatalogueEntry, generate_examples=False, description="Published before, identical"
            ),
            **problem_responses(
                ProblemType.API_KEY_REFUSED,
                ProblemType.TORRENT_REFUSED,
                ProblemType.RELEASE_CONFLICT,
                ProblemType.TOO_LARGE,
            ),
        },
    )
    async def publish(
        self,
        release_id: FromPath[str],
        audio_format: FromPath[str],
        data: JSONBody[Publication],
        publisher: NamedDependency[ApiKey],
        services: NamedDependency[Services],
    ) -> Response[CatalogueEntry]:
        """Publish a release. Identical content again changes nothing."""
        try:
            name = torrent_name(parse_release_id(release_id), parse_audio_format(audio_format))
        except IdentifierError as error:
            raise Refusal(ProblemType.MALFORMED_REQUEST, str(error)) from error
        published = await services.catalogue.publish(name, data, now=services.clock())
        return Response(published.entry, status_code=200 if published.repeated else 201)

    @get(
        dependencies={"reader": Provide(_READERS)},
        responses=problem_responses(ProblemType.API_KEY_REFUSED),
    )
    async def catalogue(
        self,
        reader: NamedDependency[ApiKey],
        services: NamedDependency[Services],
        since: Annotated[int, QueryParameter(ge=0, le=2**62)] = 0,
    ) -> CataloguePage:
        """Read what was published after sequence number `since`."""
        return await services.catalogue.page(since)

    @get(
        "/{release_id:str}/{audio_format:str}/torrent",
        media_type=TORRENT_MEDIA_TYPE,
        dependencies={"reader": Provide(_READERS)},
        responses=problem_responses(ProblemType.API_KEY_REFUSED, ProblemType.UNKNOWN_RELEASE),
    )
    async def torrent(
        self,
        release_id: FromPath[str],
        audio_format: FromPath[str],
        reader: NamedDependency[ApiKey],
        services: NamedDependency[Services],
    ) -> Response[bytes]:
        """Get a release's torrent as it was published."""
        name = TorrentName(f"{release_id}.{audio_format}")
        return Response(await services.catalogue.torrent(name), media_type=TORRENT_MEDIA_TYPE)
