"""The synchronous façade and the fake have what the client has, name for name, type for type."""

import inspect
import typing
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import client_lib
from client_lib import blocking
from client_lib.testing.client import FakeClient
from client_lib.testing.job import FakeJob

PAIRS = [
    (client_lib.Client, blocking.Client),
    (client_lib.DownloadJob, blocking.DownloadJob),
]


def public(kind: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(kind) if name[0] != "_"}


@pytest.mark.parametrize(("trio_kind", "kind"), PAIRS, ids=["Client", "DownloadJob"])
def test_the_facade_has_every_public_name(trio_kind: type, kind: type) -> None:
    assert public(kind).keys() - public(trio_kind).keys() == {"close"}
    assert public(trio_kind).keys() <= public(kind).keys()


@pytest.mark.parametrize(("trio_kind", "kind"), PAIRS, ids=["Client", "DownloadJob"])
def test_the_facade_takes_and_gives_the_same(trio_kind: type, kind: type) -> None:
    for name, theirs in public(trio_kind).items():
        ours = public(kind)[name]
        assert type(theirs) is type(ours), name
        if isinstance(theirs, property):
            assert theirs.fget is not None
            assert ours.fget is not None
            theirs, ours = theirs.fget, ours.fget
        assert not inspect.iscoroutinefunction(ours), name
        assert arguments(ours) == arguments(theirs), name
        assert gives(ours) == synchronous(gives(theirs)), name


def arguments(function: Any) -> list[tuple[str, Any, Any, Any]]:  # noqa: ANN401
    taken = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.annotation, _default(one.default)) for one in taken]


def _default(value: object) -> object:
    return "a function" if inspect.isfunction(value) else value


def gives(function: Any) -> Any:  # noqa: ANN401
    return inspect.signature(inspect.unwrap(function)).return_annotation


def synchronous(annotation: Any) -> Any:  # noqa: ANN401
    """What a synchronous function gives in place of this."""
    if typing.get_origin(annotation) is AsyncIterator:
        (given,) = typing.get_args(annotation)
        if given is client_lib.DownloadJob:
            return Iterator[blocking.DownloadJob]
        return Iterator[given]  # type: ignore[valid-type]
    return blocking.TrackStream if annotation is client_lib.TrackStream else annotation


def test_open_client_takes_the_same_settings_first() -> None:
    theirs = [*inspect.signature(client_lib.open_client).parameters.values()]
    ours = [*inspect.signature(blocking.open_client).parameters.values()]
    assert ours[:1] == theirs
    assert [one.name for one in ours[1:]] == ["opened_by"]
    assert ours[1].kind is inspect.Parameter.KEYWORD_ONLY


def test_the_fake_client_is_a_client_and_leaves_no_method_to_the_real_one() -> None:
    assert issubclass(FakeClient, client_lib.Client)
    assert issubclass(FakeJob, client_lib.DownloadJob)
    assert public(client_lib.Client).keys() == {name for name in vars(FakeClient) if name[0] != "_"}
