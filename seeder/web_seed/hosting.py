"""A web seed as a node hosts it: its port, and the host certificate that it shows there."""

import random
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from client_lib.errors import LicensingRefused, UsageError
from client_lib.transport.credential import Credential, RequestCertificate, obtain_credential
from client_lib.transport.listening import open_sockets
from client_lib.transport.tls import mutual_server_context
from client_lib.wire import certificates
from client_lib.wire.certificates import HostIdentity
from client_lib.wire.problem import ProblemType
from seeder.peers.connection import FindSwarm
from seeder.peers.gate import Gate
from seeder.peers.pace import Pace
from seeder.web_seed.server import WebSeed

CREDENTIAL_FILE = "web-seed.pem"


@dataclass(frozen=True, slots=True)
class Hosting:
    """A web seed that is ready to serve on `sockets`, which all have one port."""

    web_seed: WebSeed
    sockets: list[socket.socket]
    port: int
    context: ssl.SSLContext
    credential: Credential


async def host_web_seed(
    data: Path,
    listen: tuple[str, int],
    ask: RequestCertificate,
    *,
    ca: x509.Certificate,
    find_swarm: FindSwarm,
    gate: Gate,
    pace: Pace,
    max_connections: int,
    rng: random.Random,
) -> Hosting:
    """Get the host certificate, from `data` or with `ask`, and listen on host and port.

    Raises UsageError if the API key is of no web seed or the port is taken, and otherwise what
    `obtain_credential` raises.
    """
    path = data / CREDENTIAL_FILE
    try:
        credential = await obtain_credential(path, ask, ca=ca, now=gate.clock(), rng=rng)
    except LicensingRefused as error:
        if error.problem_type == ProblemType.API_KEY_REFUSED:
            raise UsageError(f"--web-seed-port: {error.detail}") from error
        raise
    if not isinstance(credential.identity, HostIdentity):
        raise UsageError(f"{path} is no host's certificate: remove it and start again")
    context = mutual_server_context(path, certificates.certificate_pem(ca))
    web_seed = WebSeed(
        context,
        find_swarm=find_swarm,
        gate=gate,
        pace=pace,
        max_connections=max_connections,
    )
    sockets = await open_sockets(*listen)
    port: int = sockets[0].getsockname()[1]
    return Hosting(web_seed, sockets, port, context, credential)
