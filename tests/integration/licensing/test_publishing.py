"""Publishers, the catalogue feed, and the certificates of nodes, over HTTPS."""

import base64
from typing import Any

import pytest

from client_lib.errors import LicensingRefused
from client_lib.wire import certificates
from client_lib.wire.certificates import HostIdentity, SeederIdentity
from client_lib.wire.crl import RevocationList
from client_lib.wire.problem import ProblemType
from licensing.config import utc_now
from licensing.ledger import Role
from licensing.stores import open_ledger
from tests.integration.licensing.running import ALBUM, Running, new_secret, problem
from tests.unit.client_lib.wire.torrents import Draft

PATH = "/v1/releases/" + ALBUM.replace(".", "/")


async def test_published_release_is_in_the_feed_and_its_torrent_can_be_had(
    service: Running,
) -> None:
    publication = service.publication()
    async with service.http(await service.api_key(Role.PUBLISHER)) as http:
        first = await http.put(PATH, json=publication)
        again = await http.put(PATH, json=publication)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    await service.publish("rel-0002.mp3-320")
    async with service.client(await service.api_key(Role.SEEDER)) as seeder:
        page = await seeder.catalogue(0)
        assert [entry.name for entry in page.entries] == [ALBUM, "rel-0002.mp3-320"]
        rest = await seeder.catalogue(page.entries[0].sequence)
        assert rest.entries == page.entries[1:]
        end = await seeder.catalogue(rest.next_since)
        assert (end.entries, end.next_since) == ((), rest.next_since)
        entry = page.entries[0]
        torrent = await seeder.release_torrent(entry.release_id, entry.format)
        assert torrent == base64.b64decode(publication["torrent"])


async def test_other_content_under_a_published_name_is_a_conflict(service: Running) -> None:
    await service.publish()
    draft = service.draft()
    draft.add("bonus.flac", b"bonus")
    other = base64.b64encode(draft.encode()).decode()
    album = {"artist": "Björk", "title": "Another title"}
    async with service.http(await service.api_key(Role.PUBLISHER)) as http:
        for changes in ({"torrent": other}, {"album": album}):
            answer = await http.put(PATH, json=service.publication(**changes))
            assert problem(answer) is ProblemType.RELEASE_CONFLICT


def _other_name(draft: Draft) -> None:
    draft.info[b"name"] = b"rel-9999.flac-16-44"


def _other_ca(draft: Draft) -> None:
    draft.info[b"ssl-cert"] = Draft().ssl_cert.encode()


def _public(draft: Draft) -> None:
    del draft.info[b"private"]


def _announcing(draft: Draft) -> None:
    draft.torrent[b"announce"] = b"https://tracker.example/announce"


def _with_web_seed(draft: Draft) -> None:
    draft.torrent[b"url-list"] = [b"https://seed.example/releases/"]


@pytest.mark.parametrize("spoil", [_other_name, _other_ca, _public, _announcing, _with_web_seed])
async def test_torrent_that_does_not_fit_is_refused(service: Running, spoil: Any) -> None:  # noqa: ANN401
    draft = service.draft()
    spoil(draft)
    torrent = base64.b64encode(draft.encode()).decode()
    async with service.http(await service.api_key(Role.PUBLISHER)) as http:
        answer = await http.put(PATH, json=service.publication(torrent=torrent))
        assert problem(answer) is ProblemType.TORRENT_REFUSED
        garbage = base64.b64encode(b"d4:spam").decode()
        answer = await http.put(PATH, json=service.publication(torrent=garbage))
        assert problem(answer) is ProblemType.TORRENT_REFUSED
        album = {"artist": "a", "title": "t", "tracks": [{"path": "x", "title": "", "artist": ""}]}
        answer = await http.put(PATH, json=service.publication(album=album))
        assert problem(answer) is ProblemType.TORRENT_REFUSED
        assert (await http.get("/v1/releases")).json()["entries"] == []


async def test_keys_open_only_what_their_role_needs(service: Running) -> None:
    keys = {
        Role.PUBLISHER: await service.api_key(Role.PUBLISHER),
        Role.SEEDER: await service.api_key(Role.SEEDER),
        Role.TRACKER: await service.api_key(Role.TRACKER, "localhost"),
    }
    csr = {"csr": certificates.make_csr(certificates.new_key())}
    allowed = {
        "put": {Role.PUBLISHER},
        "feed": {Role.PUBLISHER, Role.SEEDER},
        "certificate": {Role.SEEDER, Role.TRACKER},
    }
    for role in Role:
        async with service.http(keys[role]) as http:
            answers = {
                "put": await http.put(PATH, json=service.publication()),
                "feed": await http.get("/v1/releases"),
                "certificate": await http.post("/v1/hosts/certificate", json=csr),
            }
        for call, answer in answers.items():
            if role in allowed[call]:
                assert answer.status_code in (200, 201), answer.text
            else:
                assert problem(answer) is ProblemType.API_KEY_REFUSED
                assert (answer.status_code, answer.json()["reason"]) == (403, "role")
    for bearer in (None, "nonsense", "askey_" + "A" * 43, new_secret().bearer):
        async with service.http(bearer) as http:
            answer = await http.get("/v1/releases")
            assert problem(answer) is ProblemType.API_KEY_REFUSED
            assert answer.status_code == 401


async def test_a_web_seed_gets_a_certificate_for_the_host_names_of_its_seeders_key(
    service: Running,
) -> None:
    with_hosts = await service.api_key(Role.SEEDER, "localhost", key_id="seeder-1")
    csr = certificates.make_csr(certificates.new_key())
    async with service.client(with_hosts) as client:
        answers = [await client.host_certificate(csr), await client.web_seed_certificate(csr)]
    leaves = [certificates.load_certificate(answer.certificate) for answer in answers]
    assert [certificates.identify(leaf) for leaf in leaves] == [
        SeederIdentity("seeder-1"),
        HostIdentity("seeder-1", ("localhost",)),
    ]
    for key in (
        await service.api_key(Role.SEEDER, key_id="seeder-2"),
        await service.api_key(Role.TRACKER, "localhost", key_id="tracker-1"),
    ):
        async with service.client(key) as client:
            with pytest.raises(LicensingRefused, match="of no web seed"):
                await client.web_seed_certificate(csr)


async def test_nodes_get_the_certificate_that_their_key_stands_for(service: Running) -> None:
    ca = certificates.load_certificate(service.ca_pem)
    seeder = await service.api_key(Role.SEEDER, key_id="seeder-1")
    tracker = await service.api_key(Role.TRACKER, "localhost", "t.shop.example", key_id="tracker-1")
    serials = {}
    for key, identity in (
        (seeder, SeederIdentity("seeder-1")),
        (tracker, HostIdentity("tracker-1", ("localhost", "t.shop.example"))),
    ):
        async with service.client(key) as client:
            answer = await client.host_certificate(certificates.make_csr(certificates.new_key()))
        leaf = certificates.load_certificate(answer.certificate)
        certificates.verify_issued(leaf, ca, utc_now())
        assert certificates.identify(leaf) == identity
        serials[key] = leaf.serial_number

    async with open_ledger(service.folder, service.config) as ledger:
        await ledger.revoke_api_key("seeder-1", now=utc_now())
    async with service.client(seeder) as client:
        answer_ = await client.revocation_list()
    assert answer_ is not None
    assert RevocationList.from_der(answer_.body, ca=ca).serials == {serials[seeder]}
    async with service.http(seeder) as http:
        assert problem(await http.get("/v1/releases")) is ProblemType.API_KEY_REFUSED
