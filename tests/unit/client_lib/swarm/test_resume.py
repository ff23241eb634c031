"""Resume points: what was verified comes back, and anything doubtful counts for nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.swarm import resume
from client_lib.swarm.resume import ResumePoint
from client_lib.wire.infohash import InfoHash

INFO_HASH = InfoHash(b"\x07" * 32)
flags = st.lists(st.booleans(), max_size=40)


@given(flags, st.dictionaries(st.integers(0, 2**31 - 1), flags, max_size=4))
def test_point_comes_back(have: list[bool], unfinished: dict[int, list[bool]]) -> None:
    point = ResumePoint.of(INFO_HASH, have, unfinished)
    again = ResumePoint.from_json(point.to_json(), INFO_HASH)
    assert again == point
    assert again is not None
    assert (again.have_pieces, again.unfinished_pieces) == (have, unfinished)


def test_point_of_another_torrent_counts_for_nothing() -> None:
    point = ResumePoint.of(INFO_HASH, [True], {})
    assert ResumePoint.from_json(point.to_json(), InfoHash(bytes(32))) is None


def test_point_of_another_boot_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page cache that it speaks of is gone: after a power cut, the files may lack it."""
    point = ResumePoint.of(INFO_HASH, [True], {})
    monkeypatch.setattr(resume, "this_boot", lambda: "another")
    assert ResumePoint.from_json(point.to_json(), INFO_HASH) is None


@pytest.mark.parametrize(
    "change",
    [
        {"have": "012"},
        {"have": "1\n"},
        {"have": None},
        {"unfinished": {"-1": "1"}},
        {"unfinished": {str(2**31): "1"}},
        {"unfinished": {"0": "x"}},
        {"unfinished": {"x": "1"}},
        {"info_hash": "00"},
        {"more": 1},
    ],
)
def test_damaged_point_counts_for_nothing(change: dict[str, object]) -> None:
    """Numbers beyond libtorrent's would be errors deep inside it."""
    document = {**msgspec.to_builtins(ResumePoint.of(INFO_HASH, [True], {})), **change}
    assert ResumePoint.from_json(msgspec.json.encode(document), INFO_HASH) is None


@given(st.binary(max_size=60))
def test_garbage_counts_for_nothing(garbage: bytes) -> None:
    assert ResumePoint.from_json(garbage, INFO_HASH) is None
