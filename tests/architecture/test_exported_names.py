"""The embedders' API is what its README says, name for name."""

import inspect
import re

import pytest

import client_lib
import client_lib.download
from client_lib import blocking, errors, testing
from tests.architecture.documents import ROOT, blocks

README = ROOT / "client_lib" / "README.md"


def documented(heading: str) -> set[str]:
    """Names in the first column of the table below a heading."""
    section = README.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)", section, re.MULTILINE))


def test_exported_names_are_the_documented_ones() -> None:
    assert documented("Names") == set(client_lib.download.__all__)


def test_exported_names_exist_and_are_sorted() -> None:
    names = client_lib.download.__all__
    assert list(names) == sorted(names)
    for name in names:
        assert hasattr(client_lib.download, name)


def test_every_error_is_documented_with_its_exit_code() -> None:
    raised = {
        f"| `{name}` | {kind.exit_code} |"
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.AlbumswarmError)
    }
    table = README.read_text().partition("## Errors\n")[2]
    assert set(re.findall(r"^\| `\w+` \| \d \|", table, re.MULTILINE)) == raised


def test_documented_code_names_what_exists() -> None:
    code = [block.text for block in blocks(README) if block.language == "python"]
    assert code
    for text in code:
        compiled = compile(text, str(README), "exec")
        imported = re.search(r"^from client_lib import (.+)$", text, re.MULTILINE)
        assert imported is not None
        assert set(imported[1].split(", ")) <= public_names()
        assert set(imported[1].split(", ")) <= set(compiled.co_names)


def public_names() -> set[str]:
    return set(client_lib.__getattr__("__all__"))


def test_the_package_itself_exports_the_download_names_and_a_few_beside() -> None:
    beside = {"AlbumswarmError", "LicenceId", "LicenceRecord", "LicenceState", "TorrentName"}
    assert public_names() == set(client_lib.download.__all__) | beside
    for name in public_names():
        assert getattr(client_lib, name) is not None
    assert client_lib.Progress is client_lib.download.Progress
    assert public_names() <= set(dir(client_lib))
    with pytest.raises(AttributeError, match="'client_lib' has no attribute 'Nope'"):
        client_lib.Nope  # type: ignore[attr-defined]  # noqa: B018
    section = README.read_text().partition("## Names\n")[2].partition("| name |")[0]
    assert {name for name in beside if f"`{name}`" in section} == beside


def test_facade_and_fake_export_what_they_document() -> None:
    assert set(blocking.__all__) == {"Client", "DownloadJob", "TrackStream", "open_client"}
    documented = set(re.findall(r"`(\w+)`", str(testing.__doc__)))
    assert set(testing.__all__) >= {"FakeStore", *(documented & {"Receive", "Stall", "Break"})}
    for module in (blocking, testing):
        assert all(hasattr(module, name) for name in module.__all__)
