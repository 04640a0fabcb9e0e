"""devnode: the tree of devices, by service, state and problem; damaged trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import CommandError, DumpkitError, MemoryReadError
from dumpkit.kernel.device_tree import problem_name
from dumpkit.output import data

from tests.running import run, run_lines
from tests.session_machine import SessionLab, add_device_nodes


@pytest.fixture(params=(7601, 19041, 22000))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> SessionLab:
    return SessionLab(request.param, tmp_path)


def number(lab: SessionLab, state: str) -> int:
    return int(dict(lab.machine.layouts.type("_PNP_DEVNODE_STATE").enumerators)[state])


def test_the_tree_is_shown_each_node_below_its_parent(lab: SessionLab) -> None:
    root, controller, disk, bad = add_device_nodes(lab)
    started, before = number(lab, "DeviceNodeStarted"), number(lab, "DeviceNodeEnumerateCompletion")
    assert run_lines(lab.session, "!devnode 0 1") == [
        f"Dumping IopRootDeviceNode (= 0x{root.address:016x})",
        f"DevNode 0x{root.address:016x} for PDO 0xffffa08f00001000",
        '  InstancePath is "HTREE\\ROOT\\0"',
        f"  State = DeviceNodeStarted (0x{started:x})",
        f"  Previous State = DeviceNodeEnumerateCompletion (0x{before:x})",
        f"  DevNode 0x{controller.address:016x} for PDO 0xffffa08f00001100",
        '    InstancePath is "PCI\\VEN_8086&DEV_3B22\\3&21436425&0&FA"',
        '    ServiceName is "storahci"',
        f"    State = DeviceNodeStarted (0x{started:x})",
        f"    Previous State = DeviceNodeEnumerateCompletion (0x{before:x})",
        f"    DevNode 0x{disk.address:016x} for PDO 0xffffa08f00001200",
        '      InstancePath is "SCSI\\Disk&Ven_&Prod_ST3500418AS\\4&23d99fa2&0&000000"',
        '      ServiceName is "disk"',
        f"      State = DeviceNodeStarted (0x{started:x})",
        f"      Previous State = DeviceNodeEnumerateCompletion (0x{before:x})",
        f"  DevNode 0x{bad.address:016x} for PDO 0xffffa08f00001300",
        '    InstancePath is "ROOT\\BAD\\0000"',
        '    ServiceName is "bad"',
        f"    State = DeviceNodeDriversAdded (0x{number(lab, 'DeviceNodeDriversAdded'):x})",
        f"    Previous State = DeviceNodeEnumerateCompletion (0x{before:x})",
        "    Problem = CM_PROB_FAILED_START",
        # Windows 7 keeps no status.
        *(["    Problem Status = 0xc0000001"] if "ProblemStatus" in bad else []),
    ]


def test_a_services_nodes_are_shown_with_what_is_below_them(lab: SessionLab) -> None:
    add_device_nodes(lab)
    nodes = data(run(lab.session, "devnode 0 1 STORAHCI"))["nodes"]
    assert [(node["service"], node["level"]) for node in nodes] == [("storahci", 0), ("disk", 1)]
    assert [node["service"] for node in data(run(lab.session, "devnode 0 0 disk"))["nodes"]] == ["disk"]


@pytest.mark.parametrize("flags", ["11", "21", "31"])
def test_nodes_that_are_not_started_or_have_a_problem_are_picked_out(lab: SessionLab, flags: str) -> None:
    add_device_nodes(lab)
    assert [node["service"] for node in data(run(lab.session, f"devnode 0 {flags}"))["nodes"]] == ["bad"]


def test_one_node_is_shown_by_its_address(lab: SessionLab) -> None:
    disk = add_device_nodes(lab)[2]
    lines = run_lines(lab.session, f"devnode {disk.address:x}")
    assert lines[0] == f"DevNode 0x{disk.address:016x} for PDO 0xffffa08f00001200"
    assert len(lines) == 5


def test_a_tree_that_loops_ends_and_is_named(lab: SessionLab) -> None:
    root, _, disk, _ = add_device_nodes(lab)
    disk["Sibling"] = root
    assert f"the tree: the tree loops at {root.address:016x}" in run_lines(lab.session, "devnode 0 1")


def test_a_node_that_is_missing_leaves_the_others(lab: SessionLab) -> None:
    _, controller, _, _ = add_device_nodes(lab)
    controller["Child"] = 0xFFFFF90012340000
    nodes = data(run(lab.session, "devnode 0 1"))
    assert [node["service"] for node in nodes["nodes"]] == ["", "storahci", None, "bad"]
    assert any("fffff90012340000" in problem for problem in nodes["problems"])


def test_a_tree_that_was_not_made_yet_is_one_line(lab: SessionLab) -> None:
    with pytest.raises(DumpkitError, match="was not made yet"):
        run(lab.session, "devnode 0 1")
    with pytest.raises(MemoryReadError):
        run(lab.session, "devnode fffff90012340000")


@pytest.mark.parametrize(("line", "words"), [("devnode 1", "pending removals"), ("devnode 0 1 a b", "unexpected 'b'")])
def test_what_is_not_shown_is_refused(lab: SessionLab, line: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(lab.session, line)


@pytest.mark.parametrize(
    ("problem", "name"), [(10, "CM_PROB_FAILED_START"), (22, "CM_PROB_DISABLED"), (99, "problem 99")]
)
def test_problems_have_their_names(problem: int, name: str) -> None:
    assert problem_name(problem) == name
