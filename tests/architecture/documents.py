"""The project's documents, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)[ \t]*([^\n`]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: the language, the words behind it, the text, the line where it begins."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


def markdown_files() -> list[Path]:
    top = [path for path in ROOT.glob("*.md") if path.is_file()]
    return sorted([*top, ROOT / "client_lib" / "README.md", *(ROOT / "docs").rglob("*.md")])


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    return [
        Block(found[1], tuple(found[2].split()), found[3], text[: found.start()].count("\n") + 1)
        for found in _BLOCK.finditer(text)
    ]


def links(path: Path) -> Iterator[str]:
    """Targets of the links outside code."""
    text = _BLOCK.sub("", path.read_text())
    yield from (found[1] for found in _LINK.finditer(re.sub(r"`[^`\n]*`", "", text)))
