"""Only plain files are opened, whatever took their place."""

import os
import socket
from pathlib import Path

import pytest

from client_lib.plain_file import open_plain, plain_size_bytes


def read(path: Path | str) -> bytes:
    descriptor = open_plain(path)
    try:
        assert not os.get_inheritable(descriptor)
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_plain_file_is_opened_also_below_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"a\r\n\x1ab")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for path in (tmp_path / "folder" / "file", str(tmp_path / "link" / "file")):
        assert read(path) == b"a\r\n\x1ab"
        assert plain_size_bytes(path) == 5


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("link", "it is a symbolic link, not a plain file"),
        ("dangling", "it is a symbolic link, not a plain file"),
        ("folder", "it is a folder, not a plain file"),
        ("pipe", "it is a special file, not a plain file"),
        ("socket", "it is a special file, not a plain file"),
        ("missing", "No such file or directory"),
    ],
)
def test_anything_else_is_refused_and_named(tmp_path: Path, what: str, says: str) -> None:
    """A pipe without a writer would be waited for, were it opened as a file is."""
    path = tmp_path / what
    listener = socket.socket(socket.AF_UNIX)
    (tmp_path / "file").write_bytes(b"elsewhere")
    match what:
        case "link":
            path.symlink_to(tmp_path / "file")
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            listener.bind(str(path))
    with listener, pytest.raises(OSError) as caught:  # noqa: PT011 - its words are looked at
        open_plain(path)
    assert caught.value.strerror == says
    assert str(caught.value.filename) == str(path)
    assert plain_size_bytes(path) is None


def test_device_is_refused_and_not_opened() -> None:
    with pytest.raises(OSError, match="it is a special file, not a plain file"):
        open_plain(Path("/dev/zero"))
    assert plain_size_bytes(Path("/dev/zero")) is None


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_what_takes_the_file_s_place_at_the_last_moment_is_not_opened(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, before = tmp_path / "file", os.listdir("/proc/self/fd")  # noqa: PTH208
    path.write_bytes(b"plain")
    status = path.lstat()
    path.unlink()
    if what == "link":
        (tmp_path / "other").write_bytes(b"elsewhere")
        path.symlink_to(tmp_path / "other")
    else:
        os.mkfifo(path)
    monkeypatch.setattr(os, "lstat", lambda _: status)
    with pytest.raises(OSError, match=r"not a plain file|symbolic links"):
        open_plain(path)
    assert os.listdir("/proc/self/fd") == before, "a descriptor is left"  # noqa: PTH208
