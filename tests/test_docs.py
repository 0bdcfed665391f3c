"""Links between documents, and from sources to documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voxc.compiler.core.target import load_targets

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FOLDERS = ("backends", "benchmarks", "compiler", "demo", "docs", "passes", "tests")
DOCUMENTS = sorted(
    file
    for pattern in ("*.md", *(f"{folder}/**/*.md" for folder in FOLDERS))
    for file in ROOT.glob(pattern)
    if not file.name.endswith("_template.md")  # its links are those of what is made from it
)
SOURCES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".yaml"))
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MENTION = re.compile(r"\bdocs/(?:guides|reference|measurements)/[\w.-]+\.md")


def broken_links(document: Path, text: str) -> list[str]:
    """Relative links of a document to files, or to headings in them, that do not exist."""
    broken = []
    for link in LINK.findall(FENCE.sub("", text)):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def anchors(document: Path) -> set[str]:
    """What the headings of a document are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_links_resolve(document: Path) -> None:
    assert not broken_links(document, document.read_text())


@pytest.mark.parametrize("link", ["nowhere.md", "#no-heading", "../README.md#no-heading"])
def test_a_broken_link_is_seen(link: str) -> None:
    text = f"[good](../README.md#voxc), [far](https://localhost/x.md), [broken]({link})"
    assert broken_links(DOCS / "README.md", text) == [link]


def test_documents_that_sources_name_exist() -> None:
    mentions = {(file, name) for file in SOURCES for name in MENTION.findall(file.read_text())}
    assert mentions
    assert not [f"{file}: {name}" for file, name in mentions if not (ROOT / name).exists()]


def test_the_index_lists_every_document() -> None:
    listed = {(DOCS / link).resolve() for link in LINK.findall((DOCS / "README.md").read_text())}
    assert {file for file in DOCS.rglob("*.md") if file.name != "README.md"} <= listed


def test_the_reference_lists_every_target() -> None:
    listed = re.findall(r"^\| `([\w-]+)` \|", (DOCS / "reference" / "targets.md").read_text(), re.MULTILINE)
    assert listed == list(load_targets())
