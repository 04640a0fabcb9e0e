"""The registry in memory: forged hives, in the kernel's address space and in the registry's own, whole and damaged."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, Callable, List, Optional, Tuple

import pytest
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.hive import Registry, computer_name, processor_name
from dumpkit.output import data
from dumpkit.session import Session

from tests.forge.hive import (
    REG_BINARY,
    REG_DWORD,
    REG_EXPAND_SZ,
    REG_LINK,
    REG_MULTI_SZ,
    REG_QWORD,
    REG_SZ,
    Folder,
    Hive,
    address_space,
    folder,
)
from tests.forge.kernel_variables import add_debugger_data
from tests.forge.layout import windows
from tests.forge.machine import Machine
from tests.forge.page_tables import PageTables
from tests.forge.process import add_process
from tests.forge.scene import Scene
from tests.forge.structure import Structure
from tests.forge.tagged import smbios
from tests.forged_session import session_for
from tests.running import run, run_lines

SYSTEM = "\\REGISTRY\\MACHINE\\SYSTEM"
HARDWARE = "\\REGISTRY\\MACHINE\\HARDWARE"
#: Where the cells lie: in user space of the process Registry, or in paged pool.
USER_CELLS, KERNEL_CELLS = 0x1B6E0000000, 0xFFFFD18000000000
LONG = bytes(range(256)) * 100

SERVICE = folder(
    "TestDrv",
    folder("Parameters", values=[("Depth", REG_QWORD, 1 << 40)]),
    folder("Enum", values=[("Count", REG_DWORD, 0)], volatile=True),
    values=[
        ("Type", REG_DWORD, 1),
        ("Start", REG_DWORD, 3),
        ("ImagePath", REG_EXPAND_SZ, "\\??\\C:\\TestDriver.sys"),
        ("DependOnService", REG_MULTI_SZ, ["RpcSs", "Ntfs"]),
        ("Blob", REG_BINARY, b"\1\2\3\4\5\6"),
        ("Long", REG_BINARY, LONG),
        ("", REG_SZ, "of no name"),
        ("Straße", REG_SZ, "wide name"),
    ],
)


def system_hive(link: bool = True, kind: str = "lh") -> Hive:
    control = folder("ComputerName", folder("ComputerName", values=[("ComputerName", REG_SZ, "WINDEV2305EVAL")]))
    services = Folder("Services", (), [folder(f"Svc{n}") for n in range(5)] + [SERVICE], False, kind)
    keys = [folder("ControlSet001", folder("Control", control), services)]
    keys.append(folder("Select", values=[("Current", REG_DWORD, 1)]))
    if link:
        values = [("SymbolicLinkValue", REG_LINK, SYSTEM + "\\ControlSet001")]
        keys.append(Folder("CurrentControlSet", values, (), True, "lh", True))
    hive = Hive()
    hive.root("SYSTEM", keys)
    return hive


def hardware_hive() -> Hive:
    hive = Hive()
    processor = folder("0", values=[("ProcessorNameString", REG_SZ, "Forged CPU @ 3.00GHz")])
    hive.root("HARDWARE", [folder("DESCRIPTION", folder("System", folder("CentralProcessor", processor)))])
    return hive


class Made:
    """A machine with two hives, their cells in the process Registry or in the kernel."""

    def __init__(self, build: int = 19041, own_space: bool = True, link: bool = True, kind: str = "lh") -> None:
        self.scene = Scene(build, {"nt": ("ntoskrnl.exe", 0xFFFFF80370000000)})
        if own_space:
            self.scene.images["nt"].label("CmpRegistryProcess", 0x123000, is_function=False)
        self.machine: Machine = self.scene.open()
        self.machine.layouts = windows(build, "registry")
        self.machine.link(self.machine.address("CmpHiveListHead"), ())
        add_debugger_data(self.machine)
        self.process: Optional[Structure] = None
        self.tables: Optional[PageTables] = None
        cells = KERNEL_CELLS
        if own_space:
            self.process = add_process(self.machine, "Registry", 0x64, None, self.scene.objects, parent=4)
            self.machine.set_global("CmpRegistryProcess", self.process)
            self.tables = address_space(self.machine)
            self.process["Pcb.DirectoryTableBase"] = self.tables.root | 2
            cells = USER_CELLS
        self.system = system_hive(link, kind).place(self.machine, cells, SYSTEM, self.tables, "\\Windows\\SYSTEM")
        self.hardware = hardware_hive().place(self.machine, cells + (1 << 32), HARDWARE, self.tables)

    def open(self, folder: Path, dump_type: int = 5) -> Session:
        return session_for(self.machine, self.scene.symbols(), folder, dump_type)


def names(keys: Any) -> List[str]:
    return [key.name for key in keys]


@pytest.mark.parametrize("own_space", [True, False])
@pytest.mark.parametrize("build", [19041, 22000])
def test_keys_and_values_are_read_wherever_their_cells_are(tmp_path: Path, build: int, own_space: bool) -> None:
    registry = Registry(Made(build, own_space).open(tmp_path).dump)
    assert [hive.path for hive in registry.hives()] == [SYSTEM, HARDWARE] and registry.ended == ""
    key = registry.open(SYSTEM + "\\ControlSet001\\services\\testdrv")
    assert key.path == SYSTEM + "\\ControlSet001\\Services\\TestDrv"
    assert names(key.subkeys()) == ["Parameters", "Enum"]
    assert [(value.name, value.type, value.data) for value in key.values()] == [
        ("Type", "REG_DWORD", 1),
        ("Start", "REG_DWORD", 3),
        ("ImagePath", "REG_EXPAND_SZ", "\\??\\C:\\TestDriver.sys"),
        ("DependOnService", "REG_MULTI_SZ", ("RpcSs", "Ntfs")),
        ("Blob", "REG_BINARY", b"\1\2\3\4\5\6"),
        ("Long", "REG_BINARY", LONG),
        ("", "REG_SZ", "of no name"),
        ("Straße", "REG_SZ", "wide name"),
    ]
    depth = registry.open(key.path + "\\Parameters").value("depth")
    assert depth is not None and depth.data == 1 << 40


@pytest.mark.parametrize("kind", ["lf", "li", "ri"])
def test_lists_of_keys_have_four_forms(tmp_path: Path, kind: str) -> None:
    registry = Registry(Made(kind=kind).open(tmp_path).dump)
    services = registry.open(SYSTEM + "\\ControlSet001\\Services")
    assert names(services.subkeys()) == ["Svc0", "Svc1", "Svc2", "Svc3", "Svc4", "TestDrv"]


@pytest.mark.parametrize("link", [True, False])
def test_the_current_control_set_is_found_by_its_link_or_by_select(tmp_path: Path, link: bool) -> None:
    target = Made(link=link).open(tmp_path).dump
    assert computer_name(target) == "WINDEV2305EVAL"
    assert processor_name(target) == "Forged CPU @ 3.00GHz"


def test_the_process_is_found_by_its_name_where_no_variable_tells(tmp_path: Path) -> None:
    made = Made()
    made.machine.set_global("CmpRegistryProcess", 0)
    session = made.open(tmp_path)
    with pytest.raises(DumpkitError, match="not present at P"):
        computer_name(session.dump)
    made.scene.images["nt"].labels[:] = [
        each for each in made.scene.images["nt"].labels if "RegistryP" not in each.name
    ]
    (tmp_path / "other").mkdir()
    assert computer_name(made.open(tmp_path / "other").dump) == "WINDEV2305EVAL"


def test_the_key_of_a_service_is_shown_as_mex_does(tmp_path: Path) -> None:
    lines = run_lines(Made().open(tmp_path), "svcreg TestDrv")
    path = SYSTEM + "\\ControlSet001\\Services\\TestDrv"
    assert lines[:5] == [
        "",
        "",
        f"Sorry {path} is not cached",
        "=" * 91,
        "Falling back to traversing the tree of nodes.",
    ]
    assert lines[6].startswith("Hive         ffff") and lines[7].startswith("KeyNode      000001b6e0")
    assert lines[9] == "[SubKeyAddr]         [SubKeyName]"
    assert lines[10][21:] == "Parameters"
    assert lines[13:17] == [
        f"{'[ValueType]':<20}{'[ValueName]':<30}[ValueData]",
        f"{'REG_DWORD':<20}{'Type':<30}1",
        f"{'REG_DWORD':<20}{'Start':<30}3",
        f"{'REG_EXPAND_SZ':<20}{'ImagePath':<30}\\??\\C:\\TestDriver.sys",
    ]
    assert lines[17].endswith("RpcSs Ntfs") and lines[18].endswith("01 02 03 04 05 06")
    assert lines[19].endswith("1e 1f ... (25600 bytes)") and "(Default)" in lines[20]


def test_an_open_key_is_shown_with_its_control_block(tmp_path: Path) -> None:
    made = Made()
    machine = made.machine
    registry = Registry(made.open(tmp_path).dump)
    cell = registry.open(SYSTEM + "\\ControlSet001\\Services\\TestDrv").cell
    table = machine.allocate(4 * machine.layouts.size("_CM_KEY_HASH_TABLE_ENTRY"))
    block = machine.place("_CM_KEY_CONTROL_BLOCK")
    block.set({"KeyHash.KeyHive": made.system, "KeyHash.KeyCell": cell, "KeyHive": made.system, "KeyCell": cell})
    entry = machine.view("_CM_KEY_HASH_TABLE_ENTRY", table + 2 * machine.layouts.size("_CM_KEY_HASH_TABLE_ENTRY"))
    entry["Entry"] = block.at("KeyHash")
    made.system.set({"KcbCacheTable": table, "KcbCacheTableSize": 4})
    (tmp_path / "other").mkdir()
    lines = run_lines(made.open(tmp_path / "other"), "svcreg TestDrv")
    assert lines[2] == f"Found KCB = {block.address:016x} :: {SYSTEM}\\CONTROLSET001\\SERVICES\\TESTDRV"
    assert lines[4].startswith("Hive         ")


def test_keys_and_hives_as_data(tmp_path: Path) -> None:
    session = Made().open(tmp_path)
    key = data(run(session, f'reg -p "{SYSTEM}\\Select"'))
    assert key["values"] == [{"type": "REG_DWORD", "name": "Current", "data": "0x1"}]
    assert [hive["path"] for hive in data(run(session, "reg hivelist"))["hives"]] == [SYSTEM, HARDWARE]
    assert run_lines(session, "reg hivelist")[1].split()[1:] == [SYSTEM, "\\Windows\\SYSTEM"]
    assert run_lines(session, "!cn") == ["Computer Name: WINDEV2305EVAL"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("svcreg Nothing", "svcreg: " + SYSTEM + "\\ControlSet001\\Services has no key Nothing"),
        ("reg -p \\REGISTRY\\USER\\x", "reg: no hive is mounted at \\REGISTRY\\USER\\x or above it"),
        ("reg", "reg: the path of a key is wanted, or hivelist"),
        ("reg hives", "reg: the path of a key is wanted, or hivelist"),
        ("svcreg", "svcreg: NAME is missing"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CommandError) as raised:
        run(Made().open(tmp_path), text)
    assert str(raised.value) == problem


Damage = Callable[[Made], Tuple[str, str]]


def _no_signature(made: Made) -> Tuple[str, str]:
    made.system["Hive.Signature"] = 0x1234
    return "svcreg TestDrv", "has the signature 1234: it is none"


def _wild_root(made: Made) -> Tuple[str, str]:
    base = made.machine.view("_HBASE_BLOCK", made.system["Hive.BaseBlock"])
    base["RootCell"] = 0x7FFFFFF0
    return "svcreg TestDrv", "cell 7ffffff0 is beyond the end of the hive"


def _no_key(made: Made) -> Tuple[str, str]:
    base = made.machine.view("_HBASE_BLOCK", made.system["Hive.BaseBlock"])
    base["RootCell"] = 0x20
    return "svcreg TestDrv", "cell 20 of the hive at .* is no key"


def _no_map(made: Made) -> Tuple[str, str]:
    made.system["Hive.Storage[0].Map"] = 0x1000
    return "svcreg TestDrv", "Memory read error at virtual address 0000000000001000"


def _list_loop(made: Made) -> Tuple[str, str]:
    links = made.hardware.at("HiveList")
    made.machine.put_u64(links, links)
    made.system["Hive.Signature"] = 0
    return "svcreg TestDrv", "signature 0"


def _cells_missing(made: Made) -> Tuple[str, str]:
    assert made.process is not None
    made.process["Pcb.DirectoryTableBase"] = made.machine.root
    return "svcreg TestDrv", "not present at P"


@pytest.mark.parametrize("damage", [_no_signature, _wild_root, _no_key, _no_map, _list_loop, _cells_missing])
def test_damage_ends_in_one_line_that_says_what_is_damaged(tmp_path: Path, damage: Damage) -> None:
    made = Made()
    text, problem = damage(made)
    session = made.open(tmp_path)
    with pytest.raises(CommandError, match=problem):
        run(session, text)
    assert run_lines(session, "cn")[0] == "Computer Name:  Not Found"


def test_a_hive_of_any_bytes_ends_in_an_error_or_a_result(tmp_path: Path) -> None:
    made = Made(own_space=False)
    target = made.open(tmp_path).dump
    memory, random = target.memory, Random(7)
    read = memory.read_prefix

    def damaged_read(address: int, size: int) -> bytes:
        found = read(address, size)
        return bytes(byte ^ (random.random() < 0.01) * random.randrange(256) for byte in found)

    memory.read_prefix = damaged_read  # type: ignore[method-assign]
    outcomes = set()
    for _ in range(150):
        try:
            registry = Registry(target)
            key = registry.open(SYSTEM + "\\ControlSet001\\Services\\TestDrv")
            outcomes.add(len([*key.subkeys(), *key.values()]))
        except DumpkitError as error:
            assert "\n" not in str(error)
            outcomes.add(-1)
    assert -1 in outcomes


def test_a_list_of_hives_that_breaks_off_keeps_what_it_had(tmp_path: Path) -> None:
    made = Made()
    made.machine.put_u64(made.system.at("HiveList"), 0xFFFF_DEAD_0000_0000)
    lines = run_lines(made.open(tmp_path), "reg hivelist")
    assert SYSTEM in lines[1]
    assert lines[-1].startswith("The list of hives is not whole: link at ffffdead00000000 cannot be read")


def test_di_names_the_computer_where_the_dump_holds_the_registry(tmp_path: Path) -> None:
    made = Made()
    assert run_lines(made.open(tmp_path, 5), "di")[0] == "Computer Name: WINDEV2305EVAL"
    assert "Processor: Forged CPU @ 3.00GHz" in run_lines(made.open(tmp_path, 5), "di")
    assert run_lines(made.open(tmp_path, 6), "di")[0] == "Computer Name:  Not Found"


def test_di_reads_the_firmwares_table_where_no_tagged_data_holds_it(tmp_path: Path) -> None:
    made = Made()
    table = smbios("Forged Systems", "Physical Table", "Forged CPU of the firmware")[8:]
    place = made.machine.memory.allocate() * 0x1000
    made.machine.memory.write(place + 0x20, table)
    made.machine.set_global("WmipSMBiosTablePhysicalAddress", place + 0x20)
    made.machine.set_global("WmipSMBiosTableLength", len(table), 4)
    lines = run_lines(made.open(tmp_path, 5), "di")
    assert "SystemManufacturer = Forged Systems" in lines and "SystemProductName = Physical Table" in lines
    assert "Processor: Forged CPU @ 3.00GHz" in lines
    assert "SystemManufacturer = Not Found" in run_lines(made.open(tmp_path, 6), "di")
