"""The parts of a tracker and who of them asks whom. Nothing runs here: see `app.py`."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509

from client_lib.transport.revocations import RevocationFeed
from tracker.accounting.ledger import Ledger
from tracker.announce import Announcer
from tracker.config import TrackerConfig
from tracker.fleet.feed import DemandFeed
from tracker.fleet.nodes import Fleet
from tracker.fleet.polls import DemandPolls
from tracker.routes import routes, routes_again
from tracker.scrape import Scraper
from tracker.serving.front_end import FrontEnd
from tracker.serving.patience import Patience
from tracker.swarms.handout import Pace
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission
from tracker.upkeep import Expulsion


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each, of those that somebody else must start, stop or look at."""

    swarms: Swarms
    fleet: Fleet
    feed: DemandFeed
    admission: Admission
    expulsion: Expulsion
    front_end: FrontEnd


def wire(
    config: TrackerConfig,
    *,
    ca: x509.Certificate,
    ledger: Ledger,
    revocations: RevocationFeed,
    clock: Callable[[], float],
    rng: random.Random,
) -> Parts:
    """Make the parts of one tracker process, as configured."""
    swarms, fleet = Swarms(), Fleet()
    feed = DemandFeed(swarms, fleet, ledger.left_bytes, clock=clock)
    swarms.on_change = feed.swarm_changed
    admission = Admission(ca)
    announcer = Announcer(
        admission=admission,
        revocations=revocations,
        accounting=ledger,
        swarms=swarms,
        pace=_pace(config),
        default_numwant=config.default_numwant,
        max_numwant=config.max_numwant,
        copies_wanted=config.copies_wanted,
        rng=random.Random(rng.random()),  # noqa: S311 - samples peers; SystemRandom is slow
        central=fleet.entries,
    )
    announcer.on_expelled = feed.peers_expelled
    scraper = Scraper(
        admission=admission, revocations=revocations, swarms=swarms, refused=ledger.refused
    )
    polls = DemandPolls(
        admission=admission,
        revocations=revocations,
        accounting=ledger,
        fleet=fleet,
        feed=feed,
        clock=clock,
    )
    front_end = FrontEnd(
        routes(announcer, scraper, polls.answer, clock=clock),
        respond_again=routes_again(announcer, clock=clock),
        count=ledger.count,
        max_connections=config.max_connections,
        patience=Patience(
            handshake_s=config.handshake_timeout_s,
            head_s=config.head_timeout_s,
            idle_s=config.idle_timeout_s,
        ),
    )
    return Parts(swarms, fleet, feed, admission, Expulsion(announcer), front_end)


def session_s(config: TrackerConfig) -> int:
    """A session ends when the announce after the longest interval is two minutes late.

    libtorrent announces no more often than every 5 to 5 1/2 minutes, whatever it is told.
    """
    return int(max(config.interval_s * (1 + config.interval_jitter), 330)) + 120


def _pace(config: TrackerConfig) -> Pace:
    return Pace(
        interval_s=config.interval_s,
        jitter=config.interval_jitter,
        young_interval_s=config.young_interval_s,
        young_age_s=config.young_age_s,
        few_peers=config.few_peers,
        min_interval_s=config.min_interval_s,
    )
