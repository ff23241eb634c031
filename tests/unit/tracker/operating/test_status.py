import datetime as dt

import msgspec
import pytest
from rich.console import Console

from client_lib.service.metrics import Exposition
from client_lib.wire.demand import FleetMember
from tracker.accounting.amounts import Amounts
from tracker.cli.status import rendered
from tracker.operating.metrics import families
from tracker.operating.status import (
    CrlStatus,
    Day,
    FlagStatus,
    Moved,
    PeerCounts,
    ReleaseMoved,
    WorkerStatus,
    date_of,
    merged,
)

GB = 10**9
MOVED = Moved.of(Amounts(8 * GB, 10 * GB, 2 * GB, 3))
TODAY = dt.date(2026, 11, 22)
WORKER = WorkerStatus(
    address="localhost:8444",
    at=1_000.5,
    uptime_s=61,
    swarms=2,
    hot_swarms=1,
    peers=PeerCounts(3, 4, 1),
    announces={"licence": 70, "seeder": 5},
    refusals={"revoked": 2},
    events={"handshake_failed": 9},
    crl=CrlStatus(4, 2, 3.5, True),
    total=MOVED,
    days=(Day(TODAY, MOVED),),
    releases=(ReleaseMoved("12" * 20, "rel-1.flac-16-44", MOVED),),
    fleet=(FleetMember("origin-1", ("192.0.2.1",), 6881, 10**8, False, 990),),
    flags=(FlagStatus("many-networks", "licence x", "started from 6 networks", 1, 2, 1),),
    price_per_gb=0.05,
    currency="EUR",
)


def test_workers_add_up() -> None:
    later = msgspec.structs.replace(
        WORKER,
        address="localhost:8445",
        at=1_001.0,
        uptime_s=5,
        crl=CrlStatus(4, 2, 700.0, False),
        fleet=(FleetMember("origin-1", ("192.0.2.1",), 6881, 10**8, True, 995),),
        refusals={"revoked": 1, "expired": 1},
    )
    status = merged([WORKER, later], ["worker-2"])
    assert status.workers == ("localhost:8444", "localhost:8445")
    assert (status.silent, status.uptime_s, status.swarms) == (("worker-2",), 5, 4)
    assert status.peers == PeerCounts(6, 8, 2)
    assert status.refusals == {"expired": 1, "revoked": 3}
    assert status.total.offload == 0.8
    assert status.saved_money == pytest.approx(16 * 0.05)
    (day,) = status.days
    assert (day.date, day.moved.downloaded_bytes) == (TODAY, 20 * GB)
    (release,) = status.releases
    assert release.moved.completions == 6
    assert status.crl.age_s == 700
    (node,) = status.fleet
    assert node.draining  # its latest word
    assert len(status.flags) == 2


def test_no_worker_is_no_status() -> None:
    with pytest.raises(ValueError, match="no worker"):
        merged([])


def test_days_have_dates() -> None:
    assert date_of(0) == dt.date(1970, 1, 1)


def test_people_see_all_that_matters() -> None:
    console = Console(width=120, record=True, force_terminal=False)
    hostile = msgspec.structs.replace(
        WORKER,
        flags=(FlagStatus("many-networks", "licence [red]\x1b[2J", "[b]evidence", 1, 2, 1),),
        crl=CrlStatus(None, 0, None, False),
    )
    console.print(rendered(merged([hostile], ["worker-1"])))
    text = console.export_text()
    for words in (
        "localhost:8444",
        "worker-1",
        "3 leechers, 4 complete, 1 central",
        "never confirmed: TOO OLD",
        "8.0 GB, 0.40 EUR",
        "80.0 %",
        "rel-1.flac-16-44",
        "revoked",
        "origin-1",
        "100.0 MB/s",
        "10 s ago",
        "[b]evidence",
        "[red]",
    ):
        assert words in text
    assert "\x1b" not in text


def test_metrics_tell_the_same() -> None:
    text = Exposition(families)(WORKER).decode()
    for line in (
        'albumswarm_tracker_announces_total{role="licence"} 70.0',
        'albumswarm_tracker_refusals_total{reason="revoked"} 2.0',
        'albumswarm_tracker_peers{standing="complete"} 4.0',
        'albumswarm_tracker_bytes_total{what="central_uploaded"} 2e+09',
        "albumswarm_tracker_completions_total 3.0",
        "albumswarm_tracker_crl_current 1.0",
        "albumswarm_tracker_crl_age_seconds 3.5",
        "albumswarm_tracker_hot_swarms 1.0",
        "albumswarm_tracker_fleet_seeders 1.0",
    ):
        assert line in text.splitlines()
    assert "process_resident_memory_bytes" in text
    without = msgspec.structs.replace(WORKER, crl=CrlStatus(None, 0, None, False))
    assert "crl_age_seconds" not in Exposition(families)(without).decode()
