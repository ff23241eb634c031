"""The tracker's configuration: TOML, every key with a safe default."""

from pathlib import Path
from typing import Annotated

import msgspec

DEFAULT_PORT = 8_444
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=7 * 86_400)]


class TrackerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`--config FILE.toml`. Flags of the command line override it; relative paths are as given."""

    data: Path = Path("tracker-data")
    """Folder for the host credential, the swarm CA and the revocation list (made, mode 0700)."""

    licensing_url: str = "https://localhost:8443"
    """The licensing service."""
    licensing_ca: Path | None = None
    """PEM file of the CA behind the licensing service's own certificate. None: the system's."""
    api_key_file: Path | None = None
    """File (mode 0600) with the API key that `albumswarm-licensing api-key tracker` printed.
    Without it the tracker runs only as long as the credential in `data` is valid."""
    swarm_ca: Path | None = None
    """PEM file of the swarm CA. None: fetched from licensing once, then kept in `data`."""

    host: str = ""
    """Name or address to listen on; empty for every interface, IPv4 and IPv6."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = DEFAULT_PORT
    """Port to listen on; 0 for any free one, which the `serving` line tells."""

    interval_s: _Seconds = 1_800
    """Announce interval of a settled swarm."""
    interval_jitter: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.1
    """Share by which intervals vary at random, either way."""
    young_interval_s: _Seconds = 30
    """Announce interval while a swarm is young, or has leechers and few peers."""
    young_age_s: _Seconds = 600
    """A swarm is young for so long after its first leecher."""
    few_peers: Annotated[int, msgspec.Meta(ge=0)] = 8
    """So many peers are few."""
    min_interval_s: _Seconds = 300
    """`min interval`: what impatient users may not go below. Never above the interval itself."""

    default_numwant: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50
    """Peers for a client that does not say how many it wants."""
    max_numwant: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200
    """Peers that a client gets at most."""
    copies_wanted: Annotated[int, msgspec.Meta(ge=0)] = 3
    """While fewer customers than this are complete, every leecher is told of central seeders."""

    crl_poll_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 5.0
    """How often licensing is asked for a new revocation list (a conditional GET)."""
    crl_grace_s: Annotated[int, msgspec.Meta(ge=0)] = 12 * 3_600
    """While licensing is away, the last list is relied on for so long beyond its nextUpdate."""

    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4_096
    """Open connections; beyond, the one that has waited longest for its client is closed."""
    handshake_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """For a TLS handshake."""
    head_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """For a request, from its first byte."""
    idle_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """Between two requests of a connection."""
