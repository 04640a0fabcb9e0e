"""Microsoft's engine knows nothing of the forge: what it says of the walkthrough dump is what the forge meant."""

from __future__ import annotations

import re
from struct import unpack_from
from typing import Any, Dict, List, Tuple

import pytest

from tests.agreement import Agreement
from tests.examples.transcripts import KINDS, PRCB, SYSTEM, THREAD, Transcript, ask
from tests.examples.walkthrough import FOLDER, built
from tests.forge.rig import needs_rig

pytestmark = [pytest.mark.rig, needs_rig]

STACK = [line.split() for line in (FOLDER / "stack.txt").read_text().splitlines()]
#: CONTEXT has them in this order from offset 0x78 on.
_REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip".split()


class Conversation:
    """What the engine says now on a dump of a type."""

    def __init__(self, kind: int, transcript: Transcript) -> None:
        self.kind = kind
        self.transcript = transcript

    def all(self, command: str) -> List[List[str]]:
        """The answers to a command, one for each time that it was asked."""
        return [answer.lines for answer in self.transcript.answers if answer.command == command]

    def __getitem__(self, command: str) -> List[str]:
        return self.all(command)[0]


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    return Conversation(request.param, ask(tmp_path_factory.mktemp("engine"), request.param))


@pytest.fixture
def machine() -> Any:
    return built()[0].machine


def number(text: str) -> int:
    return int(text.replace("`", ""), 16)


def registers_meant(record: bytes) -> Dict[str, int]:
    """The registers of a CONTEXT."""
    return dict(zip(_REGISTERS, unpack_from("<17Q", record, 0x78)))


def registers_shown(lines: List[str]) -> Dict[str, int]:
    found = dict(re.findall(r"\b(r\w{1,2})=([0-9a-f]{16})\b", "\n".join(lines[:6])))
    return {name: int(found[name], 16) for name in _REGISTERS}


def test_the_transcript_that_is_kept_is_what_the_engine_says(engine: Conversation) -> None:
    assert engine.transcript == Transcript.read(engine.kind)


def test_the_engine_lists_the_modules(engine: Conversation, machine: Any, agreement: Agreement) -> None:
    rows = [line.split() for line in engine["lm"] if "`" in line]
    found = [(number(start), number(end), name) for start, end, name, *_ in rows]
    names = ["nt", "FLTMGR", "WDFLDR", "fileinfo", "Ntfs", "TestDriver"]
    meant = [(image.base, image.base + image.size, name) for (image, _), name in zip(machine.images, names)]
    length = 12 if engine.kind == 4 else None
    meant += [(start, end, name[:length]) for start, end, name, _ in reversed(machine.unloaded)]
    agreement.holds("dbgeng", "lm", found, meant)
    agreement.explain(
        "dbgeng", "lm", "type 4 keeps twelve characters of an unloaded driver's name, as Windows writes it"
    )


def test_the_engine_shows_the_registers_of_the_crash(engine: Conversation, machine: Any, agreement: Agreement) -> None:
    agreement.holds("dbgeng", "r", registers_shown(engine["r"]), registers_meant(machine.header["context"]))


def test_the_engine_shows_every_processors_registers(engine: Conversation, machine: Any, agreement: Agreement) -> None:
    shown = [lines for lines in engine.all("r")[1:] if lines[0] != "Last set context:"]
    assert len(shown) == 6
    for index, lines in enumerate(shown):
        prcb = machine.view("_KPRCB", machine.u64(machine.address("KiProcessorBlock") + 8 * index))
        record = machine.read(prcb.at("ProcessorState.ContextFrame"), 0x4D0)
        agreement.holds("dbgeng", "~Ns", registers_shown(lines), registers_meant(record))


def test_the_engine_shows_the_whole_stack(engine: Conversation, agreement: Agreement) -> None:
    frames = [line.split()[:3] for line in engine["k"][1:]]
    meant = [[row[0], row[1], row[-1]] for row in STACK]
    agreement.holds("dbgeng", "k", [[number(sp), number(ret), name] for sp, ret, name in frames], _numbers(meant))
    agreement.explain("dbgeng", "k", "type 4 holds one stack: those of idle processors end behind their first frame")


def _numbers(rows: List[List[str]]) -> List[List[Any]]:
    return [[int(pointer, 16), int(back, 16), name] for pointer, back, name in rows]


def test_the_engine_tells_the_bugcheck(engine: Conversation, machine: Any, agreement: Agreement) -> None:
    found = [
        number(word) for word in " ".join(engine[".bugcheck"]).split() if re.fullmatch(r"[0-9A-Fa-f`]{8,17}", word)
    ]
    meant = [machine.header["bugcheck_code"], *machine.header["bugcheck_parameters"]]
    agreement.holds("dbgeng", ".bugcheck", found, meant)


def test_the_engine_knows_the_process_and_the_thread(engine: Conversation, agreement: Agreement) -> None:
    for command, address in ((".process", SYSTEM), (".thread", THREAD)):
        agreement.holds("dbgeng", ".process", number(engine[command][0].split()[-1]), address)


@pytest.mark.parametrize(
    "type, address", [("_EPROCESS", SYSTEM), ("_ETHREAD", THREAD), ("_KTHREAD", THREAD), ("_KPRCB", PRCB)]
)
def test_the_engine_finds_every_member_where_the_layout_has_it(
    engine: Conversation, machine: Any, agreement: Agreement, type: str, address: int
) -> None:
    shown = sorted(_offset_and_name(line) for line in engine[f"dt nt!{type} {address:x}"])
    meant = sorted((member.offset, member.name) for member in machine.layouts.record(type).members)
    agreement.holds("dbgeng", "dt", shown, meant)


def _offset_and_name(line: str) -> Tuple[int, str]:
    match = re.match(r"\s*\+0x([0-9a-f]+) (\w+)", line)
    assert match, line
    return int(match[1], 16), match[2]


@pytest.mark.parametrize(
    "type, address, value",
    [
        ("_EPROCESS", SYSTEM, r"UniqueProcessId\s+: 0x00000000`00000004 Void"),
        ("_EPROCESS", SYSTEM, r'ImageFileName\s+: \[15\]\s+"System"'),
        ("_EPROCESS", SYSTEM, r"ActiveThreads\s+: 3"),
        ("_ETHREAD", THREAD, r"StartAddress\s+: 0xfffff802`25da10f0 Void"),
        ("_KTHREAD", THREAD, r"Process\s+: 0xffffb507`6a4eb040 _KPROCESS"),
        ("_KTHREAD", THREAD, r"ContextSwitches\s+: 3"),
        ("_KTHREAD", THREAD, r"WaitReason\s+: 0x1b"),
        ("_KPRCB", PRCB, r"CurrentThread\s+: 0xffffb507`729e3040 _KTHREAD"),
        ("_KPRCB", PRCB, r"DebuggerSavedIRQL\s+: 0x2"),
        ("_KPRCB", PRCB, r'VendorString\s+: \[13\]\s+"GenuineIntel"'),
    ],
)
def test_the_engine_reads_the_values_that_were_set(
    engine: Conversation, agreement: Agreement, type: str, address: int, value: str
) -> None:
    text = "\n".join(engine[f"dt nt!{type} {address:x}"])
    agreement.holds("dbgeng", "dt", bool(re.search(value, text)), True)


def test_the_engine_disassembles_the_code_that_was_written(
    engine: Conversation, machine: Any, agreement: Agreement
) -> None:
    for command, lines in engine.transcript.answers:
        if command.split()[0] not in ("u", "ub"):
            continue
        for line in lines:
            match = re.match(r"([0-9a-f`]{17}) ([0-9a-f]+) ", line)
            if match:
                code = bytes.fromhex(match[2])
                agreement.holds("dbgeng", "u", code, machine.read(number(match[1]), len(code)))
    assert engine["ub fffff802084d9062"][7] == (
        "fffff802`084d9055 e8c6daffff      call    Ntfs!NtfsWriteLog (fffff802`084d6b20)"
    )


def test_the_engine_reads_the_same_words_everywhere(engine: Conversation, machine: Any, agreement: Agreement) -> None:
    rows = [line.split() for line in engine["dq of sampled words"]]
    assert len(rows) == 200
    absent = [number(address) for address, word in rows if "?" in word]
    assert engine.kind == 4 or not absent
    rows = [row for row in rows if "?" not in row[1]]
    meant = [machine.u64(number(address)) for address, _ in rows]
    agreement.holds("dbgeng", "dq", [number(word) for _, word in rows], meant)
    if absent:
        agreement.explain("dbgeng", "dq", f"type 4 does not hold {len(absent)} of the 200 sampled words")


def test_the_engine_names_what_the_imports_are_bound_to(engine: Conversation) -> None:
    lines = engine["dps fffff80225da3000 L1b"]
    assert lines[0].split() == ["fffff802`25da3000", "fffff802`07940420", "WDFLDR!WdfVersionUnbind"]
    assert lines[26].split() == ["fffff802`25da30d0", "fffff802`25da1630", "TestDriver!_guard_check_icall_nop"]


def test_the_engine_reads_the_headers_of_images(engine: Conversation, machine: Any, agreement: Agreement) -> None:
    for image, _ in machine.images:
        command = f"!dh {image.base:x}"
        if not engine.all(command):
            continue
        text = "\n".join(engine[command])
        shown = [
            re.findall(rf"^ *([0-9A-F]+) {words}", text, re.MULTILINE)[:1]
            for words in ("time date stamp", "size of image", "checksum", "number of sections")
        ]
        meant = [image.stamp, image.size, image.checksum, len(image.sections)]
        agreement.holds("dbgeng", "!dh", [int(each[0], 16) for each in shown], meant)
        names = re.findall(r"^ *(\S+) name$", text, re.MULTILINE)
        agreement.holds("dbgeng", "!dh", names, [section.name for section in image.sections])
    agreement.explain("dbgeng", "!dh", "type 4: the base in Ntfs's header is the file's, it is read from the store")
