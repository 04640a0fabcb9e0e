from __future__ import annotations

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import SymbolError
from dumpkit.kernel.io import public_types
from dumpkit.kernel.io.irp import Irp
from dumpkit.symbols.types import ArrayType, RecordType

from tests.commands.object_machine import make
from tests.forge.layout import windows
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

#: Unnamed in the symbols, and so not comparable by name.
UNNAMED = {name for name in public_types._LAYOUTS if name.startswith("_IRP_")}


def flat(type, prefix=""):
    """(path, offset, size) of every member that is no record, arrays as one."""
    for member in type.members:
        if isinstance(member.type, RecordType):
            yield from (
                (path, member.offset + at, size) for path, at, size in flat(member.type, f"{prefix}{member.name}.")
            )
        else:
            yield f"{prefix}{member.name}", member.offset, member.type.size


@pytest.mark.parametrize("build", (19041, 22000, 22621))
@pytest.mark.parametrize("name", sorted(set(public_types._LAYOUTS) - UNNAMED))
def test_what_wdm_declares_is_what_the_symbols_say(build, name):
    layouts = windows(build)
    for path, offset, size in flat(public_types._find(name)):
        if path in ("Parameters", "QuadPart", "InstancePath.QuadPart"):
            continue
        place = layouts.place(name, path)
        assert (path, offset, size) == (path, place.offset, place.type.size)
    # Structures that a driver finds others behind must have their size.
    if name in ("_IRP", "_IO_STACK_LOCATION", "_LIST_ENTRY", "_UNICODE_STRING"):
        assert public_types._find(name).size == layouts.size(name)


def test_arrays_have_their_elements():
    routines = public_types._find("_DRIVER_OBJECT").find("MajorFunction")[1]
    assert isinstance(routines, ArrayType)
    assert (routines.count, routines.element.size, routines.size) == (28, 8, 224)


@pytest.fixture
def bare(tmp_path):
    """A forged machine's dump, opened without symbols."""
    made = make()
    made.machine.save(tmp_path / "bare.dmp", 6)
    session = session_on(open_dump(str(tmp_path / "bare.dmp"), symbol_path="", offline=True))
    yield made, session
    session.target.close()


def test_without_symbols_requests_and_their_drivers_are_shown(bare):
    made, session = bare
    irp = Irp(session.target, made.parts["irp"].address)
    assert (irp.driver_name, irp.file_name) == ("disk", "\\Temp\\x.txt")
    lines = run_lines(session, f"irp {irp.address:x} 1")
    assert ">[IRP_MJ_READ(3), N/A(0)]" in lines
    assert f"Tail.Overlay.Thread = {made.parts['thread'].address:x}" in lines


def test_without_symbols_devices_drivers_and_files_are_shown(bare):
    made, session = bare
    stack = run(session, f"devstack {made.parts['low'].address:x}")
    assert [device.driver for device in stack.devices] == ["\\FileSystem\\Npfs", "\\Driver\\disk"]
    assert stack.node.service == "disk"
    assert stack.notes[0].startswith("the devices' names: ")
    assert run(session, f"drvobj {made.parts['disk'].address:x} 3").devices == (made.parts["low"].address,)
    assert run(session, f"fileobj {made.parts['file'].address:x}").name == "\\Temp\\x.txt"


def test_other_structures_are_refused_without_symbols(bare):
    with pytest.raises(SymbolError):
        public_types.io_type(bare[1].target, "_EPROCESS")


@needs_shared
def test_a_real_power_request_is_read_without_symbols():
    session = session_of("rts_9f")
    request = session.target.bugcheck.parameters[3]
    result = run(session, f"irp {request:x}")
    now = next(location for location in result.locations if location.current)
    assert (now.major_name, now.minor_name, now.driver) == ("IRP_MJ_POWER", "IRP_MN_SET_POWER", "\\Driver\\disk")
    device = session.target.bugcheck.parameters[1]
    drivers = [each.driver for each in run(session, f"devstack {device:x}").devices]
    assert drivers == ["\\Driver\\partmgr", "\\Driver\\disk", "\\Driver\\ACPI", "\\Driver\\iaStorAC"]
    session.target.close()
