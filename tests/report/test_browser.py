"""The reports in headless Chromium: nothing is fetched, nothing complains, and they can be looked at.

Screenshots of every page, wide and narrow, are left in DUMPKIT_ARTIFACTS (or the test's own folder).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import List

import pytest
from dumpkit.report.command import write_report

from tests.running import dumpkit
from tests.triage.folders import copies

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian's package chromium)"),
]

#: Only what is asked for is to be on the network: the browser's own services are off.
_QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr"
).split()

#: What a browser asks for of its own accord at its start, whatever those options say: not the page's requests.
_OWN = re.compile(r"(file|data|chrome[a-z-]*):|https?://[a-z0-9.-]+\.(google|googleapis|gvt1)\.com/")


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command: List[str] = [CHROMIUM, *_QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> List[Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = []
    for name in ("fast-mutex-irql", "pool-0x13a", "power-0x9f"):
        made.append(folder / f"{name}.html")
        write_report(str(EXAMPLES / name), str(made[-1]))
    copies(folder / "dumps", 6, damaged=1)
    made.append(folder / "folder.html")
    dumpkit("triage", str(folder / "dumps"), "--again", "--html", str(made[-1]))
    return made


def test_the_pages_fetch_nothing_and_complain_of_nothing(pages: List[Path], tmp_path: Path) -> None:
    for page in pages:
        log = tmp_path / f"{page.stem}.json"
        done = browse(page, tmp_path, "--dump-dom", f"--log-net-log={log}")
        assert "CONSOLE" not in done.stderr
        text = log.read_text(encoding="utf-8", errors="replace")
        events = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")
        urls = {event.get("params", {}).get("url", "") for event in events["events"]}
        assert {url for url in urls if url and not _OWN.match(url)} == set()
        assert "</main>" in done.stdout


@pytest.mark.parametrize(("width", "name"), [(1200, "wide"), (390, "phone")])
def test_the_pages_can_be_looked_at(pages: List[Path], width: int, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("DUMPKIT_ARTIFACTS", str(tmp_path)))
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        shot = folder / f"{page.stem}-{name}.png"
        browse(page, tmp_path, f"--screenshot={shot}", f"--window-size={width},2400")
        assert shot.stat().st_size > 10_000
