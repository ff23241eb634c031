"""Links between documents lead somewhere, and documents name files that exist."""

import re
from pathlib import Path

import pytest

from tests.architecture.documents import ROOT, links, markdown_files

DOCUMENTS = markdown_files()
_NAMED_FILE = re.compile(
    r"`((?:client_lib|docs|licensing|seeder|tests|tracker)/[\w./-]+\.(?:py|md))`"
)


def anchors(path: Path) -> set[str]:
    """Heading anchors, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documents_are_found() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert {"README.md", "client_lib/README.md", "docs/threat-model.md"} <= names


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_resolve(path: Path) -> None:
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name} links to {link}"
        assert target.is_relative_to(ROOT), f"{path.name} links out of the project: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{path.name} links to {link}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_named_in_documents_exist(path: Path) -> None:
    for name in _NAMED_FILE.findall(path.read_text()):
        assert (ROOT / name).is_file(), f"{path.name} names {name}"


def test_tests_named_in_documents_exist() -> None:
    known = set()
    for test in (ROOT / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"def (test_\w+)", test.read_text())) | {test.stem}
    for path in DOCUMENTS:
        named = set(re.findall(r"`(test_\w+)`", path.read_text()))
        assert named <= known, f"{path.name}: {sorted(named - known)}"
