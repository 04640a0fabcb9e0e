"""The example of a third party's command, found by its entry point as an installed package is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
OWN = EXAMPLES / "own-command"


def installed(folder: Path) -> dict[str, str]:
    """An environment in which the package is installed: its folder on the path, and its metadata."""
    metadata = folder / "dumpkit_oldest-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dumpkit-oldest\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[dumpkit.commands]\noldest = dumpkit_oldest.oldest\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(OWN)])}


def dumpkit(environment: dict[str, str], *words: str) -> str:
    command = [sys.executable, "-m", "dumpkit", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60).stdout


def test_its_project_file_names_the_module_that_has_the_command() -> None:
    assert 'oldest = "dumpkit_oldest.oldest"' in (OWN / "pyproject.toml").read_text()
    assert (OWN / "dumpkit_oldest" / "oldest.py").exists()


def test_an_installed_packages_command_runs_and_is_listed(tmp_path: Path) -> None:
    environment = installed(tmp_path)
    lines = dumpkit(environment, str(EXAMPLES / "fast-mutex-irql"), "-c", "oldest").splitlines()
    assert lines[0].split() == ["Thread", "Process", "Reason", "Time"]
    assert lines[1].split()[1:] == ["System", "WrQueue", "656ms"]
    assert "oldest" in dumpkit(environment, "help")
    (record,) = map(
        json.loads, dumpkit(environment, str(EXAMPLES / "fast-mutex-irql"), "-c", "oldest", "--json").splitlines()
    )
    assert record["data"]["waiting"][0]["time"] == 656
