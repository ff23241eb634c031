"""Announces that must be refused: under another's licence id, and after a revocation."""

import secrets
from pathlib import Path

import trio

from client_lib.durable import read_text
from client_lib.errors import AnnounceRefused
from client_lib.transport.http import open_http
from client_lib.transport.tls import client_context
from client_lib.wire.announce import AnnounceRequest, PeerId
from client_lib.wire.announce_answer import AnnounceResponse
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId
from docs.demo.attacks import Impostor, Target, leech
from docs.demo.customers import Customer
from docs.demo.result import RefusedResult
from docs.demo.services import DemoError, Network, run

REFUSED_WITHIN_S = 15.0


async def announce(
    network: Network, credential: Path, licence_id: LicenceId, swarm: InfoHash
) -> int:
    """Announce as a leecher would; returns how many peers it was told. Raises AnnounceRefused."""
    request = AnnounceRequest(
        info_hash=swarm.truncated,
        peer_id=PeerId(b"-AW0100-" + secrets.token_bytes(12)),
        port=6881,
        uploaded_bytes=0,
        downloaded_bytes=0,
        left_bytes=1,
    )
    context = client_context(read_text(network.ca_file), credential)
    path = f"/announce/{licence_id}?{request.to_query().decode()}"
    async with open_http(context) as http:
        answer = await http.ask(network.tracker_url, "GET", path, max_bytes=1 << 20)
    return len(AnnounceResponse.decode(answer.body).peers)


async def try_another_id(
    network: Network, case: str, thief: Customer, victim: Customer, swarm: InfoHash
) -> RefusedResult:
    """Announce with one's own certificate under another customer's licence id."""
    credential = _credential(thief)
    try:
        peers = await announce(network, credential, victim.licence.licence_id, swarm)
    except AnnounceRefused as error:
        return RefusedResult(case, 0, error.reason)
    raise DemoError(f"{case}: the tracker answered with {peers} peers")


async def try_revoked(
    network: Network, case: str, customer: Customer, target: Target, scratch: Path
) -> RefusedResult:
    """Revoke, wait until the tracker refuses, then try to download through it."""
    licence_id, credential = customer.licence.licence_id, _credential(customer)
    if not await announce(network, credential, licence_id, target.info_hash):
        raise DemoError(f"{case}: no peers even before the revocation")
    await run(
        *("albumswarm-licensing", "revoke", "--licence", licence_id),
        *("--reason", "chargeback", "--data", network.licensing_data),
    )
    started = trio.current_time()
    reason = ""
    while not reason:
        if trio.current_time() - started > REFUSED_WITHIN_S:
            return RefusedResult(case, 0, "")
        try:
            await announce(network, credential, licence_id, target.info_hash)
        except AnnounceRefused as error:
            reason = error.reason
        else:
            await trio.sleep(0.25)
    waited = trio.current_time() - started
    pem = read_text(credential)
    folder = scratch / secrets.token_hex(4)
    folder.mkdir(parents=True)
    trackers = ((f"{network.tracker_url}/announce/{licence_id}",),)
    downloaded = await leech(Impostor(pem, pem), target, folder, trackers)
    return RefusedResult(case, downloaded, f"{reason} ({waited:.1f} s after the revocation)")


def _credential(customer: Customer) -> Path:
    return customer.data / "licences" / customer.licence.licence_id / "credential.pem"
