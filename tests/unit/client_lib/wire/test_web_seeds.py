from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import MetainfoError
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.web_seeds import (
    MAX_WEB_SEEDS,
    parse_web_seed_keys,
    web_seed_keys,
    web_seed_url,
)
from tests.unit.client_lib.wire.torrents import Draft

HOSTS = st.from_regex(r"[a-z0-9]{1,20}(\.[a-z0-9]{1,20}){0,3}(:[0-9]{1,5})?", fullmatch=True)


@given(st.lists(HOSTS, max_size=MAX_WEB_SEEDS, unique=True))
def test_web_seeds_come_back_from_a_torrent(hosts: list[str]) -> None:
    urls = tuple(web_seed_url(f"https://{host}") for host in hosts)
    assert parse_web_seed_keys(web_seed_keys(urls)) == urls
    draft = Draft()
    draft.torrent |= web_seed_keys(urls)
    assert Metainfo.from_bytes(draft.encode()).web_seeds == urls


@pytest.mark.parametrize(
    "listed",
    [
        b"https://seed.example/",  # BEP 19 lets it be a string; one spelling is enough
        [],
        [b""],
        [1],
        [b"http://seed.example/"],
        [b"ftp://seed.example/"],
        [b"https://seed.example/releases"],
        [b"https://seed.example/?token=1/"],
        [b"https://seed.example/#/"],
        [b"https://user@seed.example/"],
        [b"https://seed.example/%2e%2e/"],
        [b"https://seed.example//"],
        [b"https://seed.example/a b/"],
        [b"https://seed.example/\r\n/"],
        [b"https://seed.example/\xff/"],
        [b"https:///"],
        [b"https://seed.example/" + b"a" * 1_024 + b"/"],
        [b"https://seed.example/", b"https://seed.example/"],
        [b"https://%d.example/" % number for number in range(MAX_WEB_SEEDS + 1)],
    ],
)
def test_other_web_seeds_are_refused(listed: Any) -> None:  # noqa: ANN401
    draft = Draft()
    draft.torrent[b"url-list"] = listed
    with pytest.raises(MetainfoError, match=r"url-list|web seed"):
        Metainfo.from_bytes(draft.encode())
