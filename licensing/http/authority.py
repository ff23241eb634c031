"""`/v1/ca`, `/v1/crl` and `/v1/hosts`: the swarm CA."""

from litestar import Response, get, post
from litestar.controller import Controller
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from client_lib.wire.licensing_api import CertificateAnswer, HostCertificateRequest
from client_lib.wire.problem import ProblemType
from licensing.http.authentication import API_KEY_SECURITY, provide_api_key
from licensing.http.problems import AnyRequest, problem_responses
from licensing.ledger import ApiKey, Role
from licensing.services import Services

CRL_MEDIA_TYPE = "application/pkix-crl"
CA_MEDIA_TYPE = "application/x-pem-file"


class AuthorityController(Controller):
    """The CA's certificate and revocation list for everybody, certificates for nodes."""

    path = "/v1"

    @get("/ca", media_type=CA_MEDIA_TYPE, tags=["public"], responses=problem_responses())
    async def ca(self, services: NamedDependency[Services]) -> Response[str]:
        """Get the swarm CA's certificate, PEM."""
        return Response(
            services.authority.pem,
            media_type=CA_MEDIA_TYPE,
            headers={"Cache-Control": "public, max-age=3600"},
        )

    @get(
        "/crl",
        media_type=CRL_MEDIA_TYPE,
        tags=["public"],
        responses={
            304: ResponseSpec(None, generate_examples=False, description="Not changed"),
            **problem_responses(),
        },
    )
    async def crl(
        self, request: AnyRequest, services: NamedDependency[Services]
    ) -> Response[bytes]:
        """Get the certificate revocation list (RFC 5280), DER; 304 if `If-None-Match` has it."""
        crl = await services.revocation_lists.current(services.clock())
        # `no-cache`: may be kept, must be asked for again each time; a revocation cannot wait.
        headers = {"ETag": crl.etag, "Cache-Control": "no-cache"}
        if _matches(request.headers.get("If-None-Match", ""), crl.etag):
            return Response(b"", status_code=304, media_type=CRL_MEDIA_TYPE, headers=headers)
        return Response(crl.der, media_type=CRL_MEDIA_TYPE, headers=headers)

    @post(
        "/hosts/certificate",
        tags=["nodes"],
        security=API_KEY_SECURITY,
        dependencies={"node": Provide(provide_api_key(Role.SEEDER, Role.TRACKER))},
        responses=problem_responses(
            ProblemType.API_KEY_REFUSED, ProblemType.CSR_REFUSED, ProblemType.TOO_LARGE
        ),
    )
    async def host_certificate(
        self,
        data: JSONBody[HostCertificateRequest],
        node: NamedDependency[ApiKey],
        services: NamedDependency[Services],
    ) -> CertificateAnswer:
        """Get the certificate that an API key stands for: a seeder's or a tracker's.

        With `web_seed`, that of the web seed at the host names of a seeder's key.
        """
        return await services.nodes.certificate(
            node, data.csr, web_seed=data.web_seed, now=services.clock()
        )


def _matches(if_none_match: str, etag: str) -> bool:
    # RFC 9110, section 13.1.2: a list, `*`, weak comparison.
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
