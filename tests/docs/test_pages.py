"""The documentation says what the code does."""

from __future__ import annotations

import re
from difflib import ndiff
from typing import Dict, Set

import pytest
from dumpkit import registry
from dumpkit.record import Record
from dumpkit.registry import command

from tests.docs.examples import EXAMPLES
from tests.docs.pages import FOLDER, JSON_PAGE, ROOT, example_dump, json_page, pages
from tests.docs.pictures import FOLDER as PICTURES
from tests.docs.pictures import pictures


def test_every_commands_page_is_what_its_registry_entry_makes() -> None:
    made = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    stale = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
    changes = [
        line
        for name in stale
        for line in ndiff(there.get(name, "").split("\n"), made.get(name, "").split("\n"))
        if line[0] != " "
    ]
    assert changes == [], f"python -m tests.docs writes {stale} anew"


def test_the_fields_of_a_triage_row_are_documented() -> None:
    assert json_page() == JSON_PAGE.read_text(encoding="utf-8"), "python -m tests.docs writes it anew"


def test_every_picture_shows_what_the_commands_print() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in PICTURES.glob("*.svg")}
    assert pictures() == there, "python -m tests.docs writes them anew"


def test_every_example_is_of_a_command_and_works() -> None:
    made = "\n".join(pages().values())
    for folder, line in EXAMPLES.values():
        assert f"kd> {line}\n" in made
        assert (ROOT / "examples" / folder / "MEMORY.DMP").exists()


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name} points to {link}"


def test_the_page_on_the_architecture_names_files_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    there = {path.name for top in ("ext", "commands", "symbols") for path in (ROOT / top).rglob("*.*")}
    named = set(re.findall(r"[\w/]+\.(?:py|tsv|txt)\b", text))
    assert len(named) > 30
    assert {name for name in named if name.rpartition("/")[2] not in there} == set()


def test_the_command_that_the_page_on_the_architecture_shows_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dumpkit.registry.REGISTERED", {})
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = {"Record": Record, "command": command}
    exec("from __future__ import annotations\n" + text.partition("```python\n")[2].partition("```")[0], names)
    entry = registry.REGISTERED["uptime"]
    assert list(entry.render(entry.run(example_dump("fast-mutex-irql").session))) == ["451 s"]


def test_no_two_results_share_a_name() -> None:
    pages()  # imports every command
    modules: Dict[str, Set[str]] = {}
    waiting = [Record]
    while waiting:
        record = waiting.pop()
        waiting += record.__subclasses__()
        if record.__module__.startswith("dumpkit."):
            modules.setdefault(record.__name__, set()).add(record.__module__)
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}
