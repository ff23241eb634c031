import contextlib
import random

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import AnnounceError
from client_lib.wire import bencode
from client_lib.wire.announce import AnnounceRequest, PeerId
from client_lib.wire.certificates import HostIdentity, Identity, LicenceIdentity, SeederIdentity
from client_lib.wire.infohash import InfoHash, TruncatedInfoHash
from client_lib.wire.scrape import MAX_SCRAPED, SwarmCounts, encode_scrape, parse_scrape
from tests.pki import SwarmPki, licence_identity, utc_now
from tracker.accounting.tally import Tally
from tracker.announce import Announcer
from tracker.scrape import Scraper
from tracker.swarms.handout import Pace
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission, Refusal

NOW_S = utc_now().timestamp()
PKI = SwarmPki()
LICENCE = licence_identity()
SEEDER = SeederIdentity("origin")
HASH = LICENCE.info_hash.truncated
OTHER_HASH = InfoHash.of(b"other").truncated


class Revoked(set[int]):
    def is_current(self, now_s: float) -> bool:
        return True

    def is_revoked(self, serial: int) -> bool:
        return serial in self

    @property
    def version(self) -> object:
        return object()


class Tracker:
    def __init__(self) -> None:
        self.revoked = Revoked()
        self.refusals: list[Refusal] = []
        self.swarms = Swarms()
        admission = Admission(PKI.ca)
        self.scraper = Scraper(
            admission=admission,
            revocations=self.revoked,
            swarms=self.swarms,
            refused=self.refusals.append,
        )
        self.announcer = Announcer(
            admission=admission,
            revocations=self.revoked,
            accounting=Tally(),
            swarms=self.swarms,
            pace=Pace(),
            default_numwant=50,
            max_numwant=200,
            copies_wanted=3,
            rng=random.Random(1),
        )
        self.serial = 0

    def der(self, who: Identity) -> bytes:
        certificate = PKI.issue(who).certificate
        self.serial = certificate.serial_number
        return certificate.public_bytes(serialization.Encoding.DER)

    def announce(self, who: LicenceIdentity, left_bytes: int) -> None:
        request = AnnounceRequest(
            who.info_hash.truncated, PeerId(b"p" * 20), 6881, 0, 0, left_bytes
        )
        self.announcer.answer(
            self.der(who), who.licence_id, request.to_query(), b"\x0a\0\0\1", NOW_S
        )

    def scrape(self, who: Identity, *info_hashes: bytes, member_id: str | None = None) -> object:
        own_id = {LICENCE: LICENCE.licence_id, SEEDER: SEEDER.seeder_id}.get(who, "nobody")
        answer = self.scraper.answer(
            self.der(who), member_id or own_id, scrape_query(info_hashes), NOW_S
        )
        decoded = bencode.decode(answer)
        assert isinstance(decoded, dict)
        return decoded.get(b"files") or decoded[b"failure reason"]


def scrape_query(info_hashes: tuple[bytes, ...] | list[bytes]) -> bytes:
    return b"&".join(
        b"info_hash=" + b"".join(b"%%%02x" % byte for byte in each) for each in info_hashes
    )


def counts(complete: int, downloaded: int, incomplete: int) -> dict[bytes, int]:
    return {b"complete": complete, b"downloaded": downloaded, b"incomplete": incomplete}


def test_a_licence_scrapes_its_own_swarm_and_no_other() -> None:
    tracker = Tracker()
    for number in (2, 3):
        tracker.announce(licence_identity(number=number), 1)
    tracker.announce(licence_identity(number=2), 0)
    assert tracker.scrape(LICENCE, HASH) == {HASH: counts(1, 1, 1)}
    assert tracker.scrape(LICENCE, OTHER_HASH, HASH) == {HASH: counts(1, 1, 1)}
    refusal = tracker.scrape(LICENCE, OTHER_HASH)
    assert isinstance(refusal, bytes)
    assert refusal.startswith(b"other-swarm: ")
    assert tracker.refusals == [Refusal.OTHER_SWARM]


def test_a_seeder_scrapes_any_swarm() -> None:
    tracker = Tracker()
    tracker.announce(licence_identity(number=2), 1)
    assert tracker.scrape(SEEDER, OTHER_HASH, HASH) == {
        HASH: counts(0, 0, 1),
        OTHER_HASH: counts(0, 0, 0),
    }
    assert len(tracker.swarms) == 1  # a scrape makes no swarm


@pytest.mark.parametrize("hashes", [(), (b"short",)])
def test_a_scrape_of_nothing_is_malformed(hashes: tuple[bytes, ...]) -> None:
    tracker = Tracker()
    refusal = tracker.scrape(SEEDER, *hashes)
    assert isinstance(refusal, bytes)
    assert refusal.startswith(b"malformed: ")


def test_who_may_not_announce_may_not_scrape() -> None:
    tracker = Tracker()
    tracker.scrape(HostIdentity("t1", ("localhost",)), HASH)
    tracker.scrape(LICENCE, HASH, member_id=licence_identity(number=5).licence_id)
    der = tracker.der(LICENCE)
    tracker.revoked.add(tracker.serial)
    tracker.scraper.answer(der, LICENCE.licence_id, scrape_query([HASH]), NOW_S)
    assert tracker.refusals == [Refusal.ROLE, Refusal.OTHER_LICENCE, Refusal.REVOKED]


def test_the_number_of_info_hashes_is_bounded() -> None:
    raw = [b"%20d" % number for number in range(MAX_SCRAPED + 1)]
    query = b"&".join(b"info_hash=" + each for each in raw)
    with pytest.raises(AnnounceError, match="more than 64"):
        parse_scrape(query)
    assert parse_scrape(query.rpartition(b"&")[0]) == raw[:-1]


@given(st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=20))
def test_a_scrape_names_each_swarm_once_however_often_it_is_asked(hashes: list[bytes]) -> None:
    assert parse_scrape(scrape_query(hashes + hashes)) == list(dict.fromkeys(hashes))


@given(st.binary(max_size=200))
def test_a_hostile_scrape_is_a_scrape_or_an_announce_error(raw: bytes) -> None:
    with contextlib.suppress(AnnounceError):
        assert all(len(each) == 20 for each in parse_scrape(b"info_hash=" + raw))


@given(
    st.dictionaries(
        st.binary(min_size=20, max_size=20).map(TruncatedInfoHash), st.just(SwarmCounts(1, 2, 3))
    )
)
def test_an_answer_is_bencoded_with_sorted_keys(
    swarms: dict[TruncatedInfoHash, SwarmCounts],
) -> None:
    assert bencode.decode(encode_scrape(swarms)) == {
        b"files": {info_hash: counts(1, 2, 3) for info_hash in swarms}
    }
