"""The made-up crashes on build 19041: they are what their build.py makes, and readers see what was meant."""

from __future__ import annotations

import importlib.util
import re
from contextlib import closing
from functools import cache
from typing import Any

import pytest
from dumpkit.dump import open_dump

from tests.examples.walkthrough import FOLDER
from tests.forge.rig import ask_engine, needs_rig, write_store

EXAMPLES = ("pool-0x13a", "power-0x9f")
#: The innermost frames behind KeBugCheckEx.
STACKS = {
    "pool-0x13a": "RtlpHeapHandleError RtlpHpHeapHandleError RtlpLogHeapFailure RtlpHpVsContextFree ExFreeHeapPool"
    " ExFreePool FreeRecord WorkerThread PspSystemThreadStartup KiStartSystemThread",
    "power-0x9f": "PopIrpWatchdogBugcheck PopIrpWatchdog KiProcessExpiredTimerList KiRetireDpcList KiIdleLoop",
}


@cache
def built(name: str) -> Any:
    """(Machine, PDBs) of an example."""
    path = FOLDER.parent / name / "build.py"
    specification = importlib.util.spec_from_file_location(name.replace("-", "_"), path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.build()


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_lies_here_is_what_build_makes(name):
    machine, pdbs = built(name)
    folder = FOLDER.parent / name
    assert (folder / "MEMORY.DMP").read_bytes() == machine.dump(6)
    for pdb in pdbs:
        assert (folder / "symbols" / pdb.name / pdb.store_key / pdb.name).read_bytes() == pdb.file()


@pytest.mark.parametrize("kind", (1, 4, 5, 6))
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_kind_of_dump_tells_the_crash(name, kind, tmp_path):
    machine = built(name)[0]
    machine.save(tmp_path / "MEMORY.DMP", kind)
    with closing(open_dump(str(tmp_path / "MEMORY.DMP"))) as target:
        assert target.system.build == 19041
        assert target.bugcheck.code == machine.header["bugcheck_code"]
        assert target.current_processor == machine.crash_processor
        assert not target.notes


def test_the_broken_chunk_header_of_the_pool_example_is_as_no_key_makes_it():
    machine = built("pool-0x13a")[0]
    chunk = machine.header["bugcheck_parameters"][2]
    assert machine.read(chunk, 16) == b"A" * 16
    raw = machine.u64(chunk) ^ machine.u64(machine.address("RtlpHpHeapGlobals")) ^ chunk
    assert raw >> 16 & 0xFFFF != 0x31


def test_the_request_of_the_power_example_is_pending_in_the_drivers_device():
    machine = built("power-0x9f")[0]
    _, below, _, request = machine.header["bugcheck_parameters"]
    irp = machine.view("_IRP", request)
    location = machine.view("_IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"])
    assert (location["MajorFunction"], location["MinorFunction"], location["Control"]) == (0x16, 2, 1)
    assert machine.view("_DEVICE_OBJECT", below)["AttachedDevice"] == location["DeviceObject"]


@needs_rig
@pytest.mark.rig
@pytest.mark.parametrize("kind", (1, 6))
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_engine_sees_the_whole_stack(name, kind, tmp_path):
    machine, pdbs = built(name)
    answers = ask_engine(tmp_path, machine.dump(kind), ("knL", ".bugcheck"), write_store(tmp_path / "store", pdbs))
    frames = [re.search(r"!(\w+)", line) for line in answers["knL"]]
    assert [frame[1] for frame in frames if frame] == ["KeBugCheckEx", *STACKS[name].split()]
    assert answers[".bugcheck"][0] == f"Bugcheck code {machine.header['bugcheck_code']:08X}"
