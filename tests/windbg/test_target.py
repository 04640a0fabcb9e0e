"""What PykdTarget makes of the engine's answers; tests/windbg/test_both_backends.py holds it against real ones."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dumpkit.errors import DumpkitError
from dumpkit.target import Bugcheck

from tests.windbg.fake_pykd import FakePykd

VERSION = (
    "Windows 10 Kernel Version 22621 MP (6 procs) Free x64\nProduct: WinNt, suite: TerminalServer SingleUserTS\n"
    "Kernel base = 0xfffff802`04000000 PsLoadedModuleList = 0xfffff802`04c134a0\n"
    "Debug session time: Mon Dec  4 14:55:45.455 2023 (UTC + 0:00)\nSystem Uptime: 0 days 0:07:30.911\n"
)
HEADER = "DUMP_HEADER64:\nMinorVersion        0000585d\nNumberProcessors    00000006\nProductType         00000001\n"
LM = """start             end                 module name
fffff802`04000000 fffff802`05047000   nt       M (private pdb symbols)  c:\\sym bols\\ntkrnlmp.pdb
fffff802`07540000 fffff802`075c0000   FLTMGR   T (no symbols)
fffff802`08440000 fffff802`0871f000   Ntfs       (export symbols)       Ntfs.sys
fffff802`25da0000 fffff802`25da8000   TestDriver # (deferred)

Unloaded modules:
fffff802`09060000 fffff802`09070000   hwpolicy.sys
fffff802`09040000 fffff802`09050000   dump storvsc.sys
"""


@pytest.fixture
def kernel(pykd: FakePykd) -> FakePykd:
    """A triage dump on x64."""
    pykd.commands.update(
        {
            "||": ".  0 64-bit Kernel triage dump: C:\\MEMORY.DMP\n",
            ".effmach": "Effective machine: x64 (AMD64)\n",
            ".dumpdebug": HEADER,
            "vertarget": VERSION,
            "lm": LM,
            "lm f": "fffff802`04000000 fffff802`05047000   nt       \\SystemRoot\\my drivers\\ntoskrnl.exe\n",
        }
    )
    return pykd


def target() -> Any:
    from dumpkit.windbg.target import PykdTarget

    return PykdTarget()


def test_the_facts_of_a_dump_are_the_engines(kernel: FakePykd) -> None:
    made = target()
    system = made.system
    assert (made.name, made.kind) == ("C:\\MEMORY.DMP", "triage dump (minidump)")
    assert (system.build, system.processors, system.product_type, system.checked) == (22621, 6, 1, False)
    assert system.ps_loaded_module_list == 0xFFFFF80204C134A0
    assert made.physical is None


def test_a_machine_that_did_not_stop_has_no_bugcheck(kernel: FakePykd) -> None:
    assert target().bugcheck is None
    kernel.bugcheck = (0, 0, 0, 0, 0)
    assert target().bugcheck is None
    kernel.bugcheck = (0xD1, -1, 2, 1, 4)
    assert target().bugcheck == Bugcheck(0xD1, (0xFFFFFFFF_FFFFFFFF, 2, 1, 4))


def test_a_live_kernel_is_read_for_what_has_no_header(kernel: FakePykd) -> None:
    kernel.is_dump = False
    kernel.commands["||"] = ".  0 Remote KD: KdSrv:Server=@{<Local>},Trans=@{NET:Port=50000}\n"
    kernel.put(0xFFFFF78000000000, bytes(0x264) + b"\x03\0\0\0" + bytes(0x68) + b"\x12\x01\0\0")
    kernel.registers.update(rip=0xFFFFF80204416000, rsp=0xFFFFED0EE77DC000, cs=0x10)
    system = target().system
    assert (system.build, system.processors, system.product_type, system.suite_mask) == (22621, 6, 3, 0x112)
    context = target().context(0)
    assert (context["rip"], context["cs"], "rax" in context) == (0xFFFFF80204416000, 0x10, False)
    assert target().changed_context is None


def test_modules_have_the_paths_that_the_loader_recorded(kernel: FakePykd) -> None:
    kernel.modules = [
        SimpleNamespace(
            begin=lambda: 0xFFFFF80204000000,
            size=lambda: 0x1047000,
            name=lambda: "nt",
            image=lambda: "ntkrnlmp.exe",
            timestamp=lambda: -1530805293,
            checksum=lambda: 0x2D9C39,
            unloaded=lambda: False,
        ),
        SimpleNamespace(unloaded=lambda: True),
    ]
    (module,) = target().modules
    assert (module.name, module.image_name, module.timestamp) == ("nt", "ntoskrnl.exe", 0xA4C1C3D3)
    assert module.image_path == "\\SystemRoot\\my drivers\\ntoskrnl.exe"


def test_unloaded_modules_are_those_below_lm(kernel: FakePykd) -> None:
    assert [(gone.base, gone.end, gone.name) for gone in target().unloaded_modules] == [
        (0xFFFFF80209060000, 0xFFFFF80209070000, "hwpolicy.sys"),
        (0xFFFFF80209040000, 0xFFFFF80209050000, "dump storvsc.sys"),
    ]


def test_states_and_flags_of_symbols_are_read_from_lm(kernel: FakePykd) -> None:
    from dumpkit.windbg.engine import Engine

    rows = {row.name: row for row in Engine().module_rows()[0]}
    assert (rows["nt"].flag, rows["nt"].state, rows["nt"].file) == (
        "M",
        "private pdb symbols",
        "c:\\sym bols\\ntkrnlmp.pdb",
    )
    assert (rows["FLTMGR"].flag, rows["FLTMGR"].state) == ("T", "no symbols")
    assert (rows["Ntfs"].flag, rows["Ntfs"].state, rows["Ntfs"].file) == ("", "export symbols", "Ntfs.sys")
    assert (rows["TestDriver"].flag, rows["TestDriver"].state) == ("#", "deferred")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("64-bit Kernel bitmap dump", "kernel memory dump with a page bitmap"),
        ("64-bit Full kernel dump", "full memory dump"),
        ("64-bit Kernel triage dump", "triage dump (minidump)"),
        ("Local KD", "this machine's live kernel"),
    ],
)
def test_the_engines_words_for_a_target_become_dumpkits(kernel: FakePykd, kind: str, words: str) -> None:
    kernel.commands["||"] = f".  0 {kind}: C:\\MEMORY.DMP\n"
    assert target().kind == words


def test_without_a_target_one_line_says_what_to_do(pykd: FakePykd) -> None:
    pykd.is_kernel = False
    with pytest.raises(DumpkitError, match="WinDbg has no target: open a dump first"):
        target()


def test_a_process_is_refused(kernel: FakePykd) -> None:
    kernel.is_kernel = False
    with pytest.raises(DumpkitError, match="target is a process"):
        target()


def test_a_machine_that_dumpkit_does_not_read_is_refused(kernel: FakePykd) -> None:
    kernel.commands[".effmach"] = "Effective machine: x86 compatible (x86)\n"
    with pytest.raises(DumpkitError, match="runs on x86"):
        target()


def test_pseudo_registers_are_kept_by_windbg(kernel: FakePykd) -> None:
    from dumpkit.windbg.engine import Engine
    from dumpkit.windbg.variables import EngineVariables

    variables = EngineVariables(Engine())
    kernel.expressions["@$t3"] = 0x1234
    kernel.commands["r $t3=0x10"] = ""
    assert variables["t3"] == 0x1234
    assert "t4" not in variables
    variables["t3"] = 0x10
    assert kernel.asked[-1] == "r $t3=0x10"
    variables["exp"] = 5
    assert variables["exp"] == 5


def test_nothing_is_ever_written_to_a_target() -> None:
    folder = Path(__file__).resolve().parents[2] / "ext" / "windbg"
    used = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pykd":
                used.add(node.attr)
    assert "loadQWords" in used
    changing = ("set", "write", "go", "step", "trace", "add", "remove", "attach", "detach", "kill", "wrmsr", "break")
    assert [name for name in used if name.lower().startswith(changing)] == []
