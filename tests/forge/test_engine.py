"""Forged images and PDBs in Microsoft's debugger engine: it must see what the forge meant."""

from __future__ import annotations

import re
from pathlib import Path
from struct import pack_into
from typing import Dict, List, Mapping, NamedTuple, Sequence

import pytest

from tests.forge.assembly import Code
from tests.forge.call_stack import CallStack
from tests.forge.image import Image
from tests.forge.image_sections import PDATA, RDATA, TEXT
from tests.forge.image_tables import CodeView
from tests.forge.pdb import Pdb
from tests.forge.program import Function
from tests.forge.rig import ask_engine, needs_rig, write_store
from tests.forge.sample_driver import BASE, GUID, HEADER, RESOURCES, SOURCE, driver
from tests.forge.triage import KERNEL_BASE, STACK, Block, Driver, TriageFile, build_context
from tests.forge.unwind import Alloc, MachineFrame, Operation, Push, Save, SaveXmm, SetFrame, Unwind

pytestmark = [pytest.mark.rig, needs_rig]

SAVED = ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")
#: Where CONTEXT has them.
_CONTEXT = {"rbx": 0x90, "rbp": 0xA0, "rsi": 0xA8, "rdi": 0xB0, "r12": 0xD8, "r13": 0xE0, "r14": 0xE8, "r15": 0xF0}
_KERNEL = Driver(KERNEL_BASE, 0x1000000, "\\SystemRoot\\system32\\ntoskrnl.exe")


def crash(image: Image, stack: CallStack, instruction: int) -> bytes:
    """A triage dump of a crash at an RVA of the image, with the image's pages and the stack in it."""
    context = bytearray(build_context(instruction=image.base + instruction, stack=stack.pointer))
    for register, place in _CONTEXT.items():
        pack_into("<Q", context, place, stack.registers.get(register, 0))
    loaded = Driver(image.base, image.size, f"\\??\\C:\\{image.name}", image.stamp, image.checksum)
    return TriageFile(
        drivers=(_KERNEL, loaded),
        blocks=[Block(image.base + rva, page) for rva, page in image.pages()],
        stack=Block(stack.pointer, stack.memory()),
        context=bytes(context),
    ).build()


def crash_in_driver(image: Image) -> bytes:
    functions = {function.name: function for function in image.functions}
    stack = CallStack(STACK + 0x800, {"rsi": 0x5151})
    stack.call(functions["FileCreationThread"])
    stack.call(functions["LogCurrentIrql"], image.base + 0x1142)
    return crash(image, stack, 0x14B2)


@pytest.fixture(scope="module")
def ask_private(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, List[str]]:
    """What the engine answers on the sample driver with its private PDB."""
    folder = tmp_path_factory.mktemp("private")
    image = driver()
    pdb = Pdb(image, [RESOURCES], typedefs={"SYNC_RESOURCES": RESOURCES})
    commands = (
        ".lines",
        ".reload /f TestDriver.sys",
        "lmvm TestDriver",
        "k",
        "x TestDriver!*",
        "ln fffff80225da1500",
        "u TestDriver!LogCurrentIrql+8c L2",
        "ub fffff80225da1142 L1",
        "u TestDriver!FileCreationThread+70 L1",
        "dt TestDriver!_SYNC_RESOURCES",
        "dt TestDriver!_SYNC_MODE",
        "dt TestDriver!SYNC_RESOURCES Mode",
        "dt TestDriver!Resources FileMutex.Count Busy",
        "?? TestDriver!FileCount",
        "?? sizeof(TestDriver!_SYNC_RESOURCES)",
        "dps TestDriver+30d0 L1",
        "dps TestDriver+3020 L2",
        "du TestDriver+1fc0",
        ".frame 1",
        "dv /t /v",
        "!lmi TestDriver",
    )
    return ask_engine(folder, crash_in_driver(image), commands, write_store(folder / "store", [image, pdb]))


def test_the_engine_takes_image_and_pdb_for_a_pair(ask_private: Mapping[str, List[str]]):
    text = "\n".join(ask_private["lmvm TestDriver"])
    assert re.search(r"fffff802`25da0000 fffff802`25da9000 +TestDriver +\(private pdb symbols\)", text)
    assert "Timestamp:        Mon Dec  4 14:56:33 2023 (656DE8A1)" in text
    assert f"CheckSum:         {driver().checksum:08X}" in text
    assert "File version:     1.2.3.4" in text
    assert "FileDescription:  A forged driver" in text
    report = "\n".join(ask_private["!lmi TestDriver"])
    assert "Image read successfully from loaded memory." in report
    assert "private symbols & lines" in report


def test_the_engine_unwinds_and_tells_source_lines(ask_private: Mapping[str, List[str]]):
    frames = [line.split(None, 2)[2] for line in ask_private["k"][1:]]
    assert frames == [
        f"TestDriver!LogCurrentIrql+0x92 [{SOURCE} @ 21]",
        f"TestDriver!FileCreationThread+0x52 [{SOURCE} @ 64]",
    ]


def test_the_engine_lists_functions_variables_and_import_slots(ask_private: Mapping[str, List[str]]):
    found = {line.split(None, 1)[1] for line in ask_private["x TestDriver!*"]}
    assert {
        "TestDriver!FileCreationThread (void *)",
        "TestDriver!LogCurrentIrql (wchar_t *)",
        "TestDriver!CountFiles (void)",
        "TestDriver!FileCount = 0n7",
        "TestDriver!Resources = struct _SYNC_RESOURCES",
        "TestDriver!_imp_ZwCreateFile = <no type information>",
    } <= found
    assert any(line.startswith("TestDriver!ExInitializeFastMutex =  (inline caller)") for line in found)
    assert any("TestDriver!CountFiles" in line for line in ask_private["ln fffff80225da1500"])


def test_the_engine_disassembles_calls_by_name(ask_private: Mapping[str, List[str]]):
    assert ask_private["u TestDriver!LogCurrentIrql+8c L2"][1:] == [
        "fffff802`25da14ac ff15761b0000    call    qword ptr [TestDriver!_imp_ZwCreateFile (fffff802`25da3028)]",
        "fffff802`25da14b2 85c0            test    eax,eax",
    ]
    assert ask_private["ub fffff80225da1142 L1"][1:] == [
        "fffff802`25da113d e8de020000      call    TestDriver!LogCurrentIrql (fffff802`25da1420)"
    ]


def test_the_engine_shows_types(ask_private: Mapping[str, List[str]]):
    assert [line.strip() for line in ask_private["dt TestDriver!_SYNC_RESOURCES"]] == [
        "+0x000 FileMutex        : _FAST_MUTEX",
        "+0x038 Next             : Ptr64 _SYNC_RESOURCES",
        "+0x040 Busy             : Pos 0, 1 Bit",
        "+0x040 Depth            : Pos 1, 31 Bits",
        "+0x044 Mode             : _SYNC_MODE",
        "+0x048 u                : <unnamed-tag>",
        "+0x050 Callback         : Ptr64     long",
        "+0x058 Driver           : Ptr64 _DRIVER_OBJECT",
    ]
    assert [line.strip() for line in ask_private["dt TestDriver!_SYNC_MODE"]] == [
        "SyncNone = 0n0",
        "SyncShared = 0n1",
        "SyncLast = 0x12345",
        "SyncInvalid = 0n-1",
    ]
    assert "+0x044 Mode : _SYNC_MODE" in ask_private["dt TestDriver!SYNC_RESOURCES Mode"][0]
    assert ask_private["?? sizeof(TestDriver!_SYNC_RESOURCES)"] == ["unsigned int64 0x60"]


def test_the_engine_reads_variables_and_what_was_bound(ask_private: Mapping[str, List[str]]):
    assert ask_private["?? TestDriver!FileCount"] == ["int 0n7"]
    assert "0n1" in "".join(ask_private["dt TestDriver!Resources FileMutex.Count Busy"])
    assert ask_private["dps TestDriver+30d0 L1"] == [
        "fffff802`25da30d0  fffff802`25da1630 TestDriver!_guard_check_icall_nop"
    ]
    assert [line.split()[1] for line in ask_private["dps TestDriver+3020 L2"]] == [
        "fffff802`04728670",
        "fffff802`04413730",
    ]
    assert ask_private["du TestDriver+1fc0"] == ['fffff802`25da1fc0  "PASSIVE_LEVEL"']


def test_the_engine_finds_locals_where_the_frame_has_them(ask_private: Mapping[str, List[str]]):
    stack_pointer = int(ask_private[".frame 1"][0].split()[1].replace("`", ""), 16)
    places = {
        line.split("=")[0].split()[-1]: int(line.split()[0].replace("`", ""), 16) for line in ask_private["dv /t /v"]
    }
    assert places == {"Context": stack_pointer + 0x220, "SyncRes": stack_pointer + 0x40}


@pytest.mark.parametrize(
    ("offset", "inlined"),
    [
        (0x5F, []),
        (0x60, [("ExInitializeFastMutex", 26002)]),
        (0x77, [("KeInitializeEvent", 301), ("ExInitializeFastMutex", 26005)]),
        (0x78, []),
        (0x9F, [("ExInitializeFastMutex", 26001)]),
        (0xA0, []),
    ],
)
def test_the_engine_finds_inlined_functions(tmp_path: Path, offset: int, inlined: Sequence[object]):
    image = driver()
    stack = CallStack(STACK + 0x800)
    stack.call(next(each for each in image.functions if each.name == "FileCreationThread"))
    store = write_store(tmp_path / "store", [image, Pdb(image)])
    answers = ask_engine(tmp_path, crash(image, stack, 0x10F0 + offset), [".lines", "k"], store)
    found = re.findall(rf"\(Inline.*TestDriver!(\w+)\S* \[{re.escape(HEADER)} @ (\d+)\]", "\n".join(answers["k"]))
    assert [(name, int(line)) for name, line in found] == inlined


def test_the_engine_knows_a_stripped_pdb(tmp_path: Path):
    image = driver()
    pdb = Pdb(image, [RESOURCES], private=False)
    store = write_store(tmp_path / "store", [image, pdb])
    commands = (
        ".lines",
        ".reload /f TestDriver.sys",
        "lm m TestDriver",
        "k",
        "x TestDriver!CountFiles",
        "dv",
        "dt TestDriver!_SYNC_RESOURCES Mode",
    )
    answers = ask_engine(tmp_path, crash_in_driver(image), commands, store)
    assert "(pdb symbols)" in answers["lm m TestDriver"][-1]
    assert [line.split(None, 2)[2] for line in answers["k"][1:]] == [
        "TestDriver!LogCurrentIrql+0x92",
        "TestDriver!FileCreationThread+0x52",
    ]
    assert answers["x TestDriver!CountFiles"] == ["fffff802`25da1500 TestDriver!CountFiles (<no parameter info>)"]
    assert any("Private symbols" in line for line in answers["dv"])
    assert "+0x044 Mode : _SYNC_MODE" in answers["dt TestDriver!_SYNC_RESOURCES Mode"][0]


class Expected(NamedTuple):
    """What a frame must look like: its function, Child-SP and the registers that calls preserve."""

    name: str
    stack_pointer: int
    registers: Dict[str, int]


class Unwinding:
    """An image of functions with every kind of prologue, and a stack on which they call each other."""

    def __init__(self) -> None:
        self.image = Image("unwind.sys", BASE)
        self.image.section(".text", TEXT, size=0x2000)
        self.image.section(".rdata", RDATA)
        self.image.section(".pdata", PDATA)
        self.image.set_codeview(CodeView("unwind.pdb", GUID))
        self.leaf = self.image.function("Leaf", Code().nop(5).ret())
        self.stack = CallStack(STACK + 0x300000, {register: 0x1000 + at for at, register in enumerate(SAVED)})
        self.expected: List[Expected] = []
        self._return: int = 0
        self._changes = 0

    def function(self, name: str, *operations: Operation) -> Function:
        code = Code().prologue(*operations).nop_to(0x40).call("Leaf").nop(3)
        return self.image.function(name, code.epilogue())

    def enter(self, function: Function) -> None:
        """Call a function and let it change the registers that it saved."""
        self.stack.call(function, self._return or None)
        self._arrive(function)

    def trap(self, function: Function) -> None:
        """A trap in the middle of the function that runs, not at a call."""
        self.stack.trap(function, self._return - 0x25, 2)
        self._arrive(function)

    def _arrive(self, function: Function) -> None:
        operations = [operation for _, operation in function.code.operations]
        frames = [operation.register for operation in operations if isinstance(operation, SetFrame)]
        for operation in operations:
            if isinstance(operation, (Push, Save)) and operation.register not in frames:
                self._changes += 1
                self.stack.registers[operation.register] = 0xDEAD0000 + self._changes
        self.continue_in(function.name, function)

    def continue_in(self, name: str, function: Function) -> None:
        assert function.rva is not None
        self._return = self.image.base + function.rva + 0x45
        self.expected.append(Expected(name, self.stack.pointer, dict(self.stack.registers)))

    def dump(self) -> bytes:
        self.stack.call(self.leaf, self._return)
        self.expected.append(Expected("Leaf", self.stack.pointer, dict(self.stack.registers)))
        assert self.leaf.rva is not None
        return crash(self.image, self.stack, self.leaf.rva)


def unwinding() -> Unwinding:
    made = Unwinding()
    made.enter(made.function("Start", Alloc(0x28)))
    made.enter(made.function("Pushes", *map(Push, SAVED), Alloc(0x48)))
    # A part of that function which lies elsewhere: the frame is still the one that its prologue made.
    part = Function("Part", Code().nop_to(0x40).call("Leaf").nop(3).ret(), unwind=Unwind(chained_to="Pushes"))
    made.image.add(part)
    made.expected.pop()
    made.continue_in("Part", part)
    made.enter(made.function("Large", Push("rbx"), Alloc(0x210)))
    made.enter(made.function("Framed", Push("rbp"), Alloc(0x80), SetFrame("rbp", 0x20)))
    made.enter(made.function("Saves", Alloc(0x58), Save("rbx", 0x60), Save("rsi", 0x48), SaveXmm(6, 0x30)))
    made.enter(made.function("SavesFar", Alloc(0x100028), Save("r14", 0x80000), SaveXmm(7, 0x100010)))
    made.enter(made.function("Huge", Alloc(0x80008)))
    code = Code().prologue(Push("rdi"), Alloc(0x20)).nop_to(0x40).call("Leaf").nop(3)
    before = len(code)
    size = len(code.epilogue()) - before
    described = Unwind(tuple(code.operations), code.prologue_size, epilogue_size=size, epilogues=(size,))
    made.enter(made.image.function("Version2", code, unwind=described))
    made.trap(made.function("Trap", MachineFrame(True), Push("rbp"), Alloc(0x158), SetFrame("rbp", 0x80)))
    made.trap(made.function("Interrupt", MachineFrame(False), Alloc(0x30)))
    return made


def test_the_engine_unwinds_through_every_kind_of_prologue(tmp_path: Path):
    made = unwinding()
    dump = made.dump()
    store = write_store(tmp_path / "store", [made.image, Pdb(made.image, private=False)])
    frames = list(reversed(made.expected))
    commands = [".reload /f unwind.sys", "k", *(f".frame /r {number:x}" for number in range(len(frames)))]
    answers = ask_engine(tmp_path, dump, commands, store)
    assert [line.split("!")[1].split("+")[0] for line in answers["k"][1:]] == [frame.name for frame in frames]
    for number, frame in enumerate(frames):
        text = "\n".join(answers[f".frame /r {number:x}"])
        assert int(text.split()[1].replace("`", ""), 16) == frame.stack_pointer, frame.name
        found = {name: int(value, 16) for name, value in re.findall(r"\b(r\w\w?)=([0-9a-f]{16})", text)}
        assert {name: found[name] for name in SAVED} == {name: frame.registers[name] for name in SAVED}, frame.name
