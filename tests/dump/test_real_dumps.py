"""Twelve real triage dumps against what Microsoft's engine shows of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.dump.check import check_dump
from dumpkit.dump.target import DumpTarget
from dumpkit.kernel.processor_key import PROCESSOR_KEY_TAG, processor_name
from dumpkit.kernel.smbios import SMBIOS_TAG, Smbios

from tests.shared import DUMPS, REFERENCE, dump, needs_shared

pytestmark = needs_shared

NAMES = sorted(path.stem for path in DUMPS.glob("*.dmp"))

_MODULE = re.compile(r"^([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{8}`[0-9a-f]{8})   (\S+)", re.MULTILINE)
_WORDS = re.compile(r"^([0-9a-f]{8}`[0-9a-f]{8})  ((?:[0-9a-f?]{8}`[0-9a-f?]{8} ?){1,2})", re.MULTILINE)
_BYTES = re.compile(r"^([0-9a-f]{8}`[0-9a-f]{8})  ((?:[0-9a-f?]{2}[ -]){16})", re.MULTILINE)
_REGISTER = re.compile(r"\b([a-z]{1,4}\d{0,2})=([0-9a-f]{4,16})\b")


def number(text: str) -> int:
    return int(text.replace("`", ""), 16)


def block(reference: str, command: str) -> str:
    """What the engine printed for a command."""
    found = re.search(rf"^\d+: kd> {re.escape(command)}\n(.*?)(?=^\d+: kd> |\Z)", reference, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(params=NAMES)
def pair(request: pytest.FixtureRequest) -> Iterator[Tuple[DumpTarget, str]]:
    target = open_dump(dump(request.param))
    yield target, (REFERENCE / f"{request.param}.kd.txt").read_text(encoding="utf-8", errors="replace")
    target.close()


def test_vertarget_and_the_prompt_say_what_the_engine_says(pair: Tuple[DumpTarget, str]) -> None:
    target, reference = pair
    text = block(reference, "vertarget")
    system = target.system
    version = re.search(r"Kernel Version (\d+) MP \((\d+) procs\) (\w+) (.*)", text)
    addresses = re.search(r"Kernel base = 0x(\S+) PsLoadedModuleList = 0x(\S+)", text)
    uptime = re.search(r"System Uptime: (\d+) days (\d+):(\d+):(\d+)\.(\d+)", text)
    lab = re.search(r"Built by: (\S+)", text)
    assert version and addresses and uptime
    assert (str(system.build), str(system.processors), target.architecture.words) == version.group(1, 2, 4)
    assert system.checked == (version[3] == "Checked")
    assert (system.kernel_base, system.ps_loaded_module_list) == (number(addresses[1]), number(addresses[2]))
    assert system.build_lab == (lab[1] if lab else None)
    days, hours, minutes, seconds, milliseconds = map(int, uptime.groups())
    assert system.uptime is not None
    assert system.uptime // 10_000 == (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
    assert f"{target.current_processor}: kd> vertarget" in reference


def test_the_bugcheck_is_the_engines(pair: Tuple[DumpTarget, str]) -> None:
    target, reference = pair
    text = block(reference, ".bugcheck")
    arguments = re.search(r"Arguments (.*)", text)
    assert target.bugcheck is not None
    assert arguments is not None
    assert f"Bugcheck code {target.bugcheck.code:08X}" in text
    assert list(target.bugcheck.parameters) == [number(word) for word in arguments[1].split()]


def test_the_registers_are_the_engines(pair: Tuple[DumpTarget, str]) -> None:
    target, reference = pair
    shown = dict(_REGISTER.findall(block(reference, "r")))
    context = target.context(target.current_processor)
    assert len(shown) >= 24
    assert {name: context[name] for name in shown if name != "iopl"} == {
        name: int(value, 16) for name, value in shown.items() if name != "iopl"
    }


def test_the_modules_are_the_engines(pair: Tuple[DumpTarget, str]) -> None:
    target, reference = pair
    loaded, _, unloaded = block(reference, "lm").partition("Unloaded modules:")
    expected = [(number(a), number(b), name) for a, b, name in _MODULE.findall(loaded)]
    assert [(m.base, m.end, m.name) for m in target.modules] == expected
    expected = [(number(a), number(b), name) for a, b, name in _MODULE.findall(unloaded)]
    assert [(m.base, m.end, m.name) for m in target.unloaded_modules] == expected


def test_the_kernels_image_is_the_engines(pair: Tuple[DumpTarget, str]) -> None:
    target, reference = pair
    text = block(reference, "lmv m nt")
    kernel = target.module_named("nt")
    assert kernel is not None
    assert f"Image path: {kernel.image_path}\n" in text
    assert f"Image name: {kernel.image_name}\n" in text
    assert f"({kernel.timestamp:08X})" in text
    assert f"CheckSum:         {kernel.checksum:08X}" in text
    assert f"ImageSize:        {kernel.size:08X}" in text


def test_every_word_of_memory_that_the_engine_shows(pair: Tuple[DumpTarget, str]) -> None:
    target, reference = pair
    words = {
        number(address) + 8 * i: None if "?" in word else number(word)
        for address, text in _WORDS.findall(reference)
        for i, word in enumerate(text.split())
    }
    assert len(words) >= 32
    assert {address: target.memory.u64_optional(address) for address in words} == words


def test_every_byte_of_memory_that_the_engine_shows(pair: Tuple[DumpTarget, str]) -> None:
    target, reference = pair
    shown: Dict[int, Optional[int]] = {}
    for address, text in _BYTES.findall(reference):
        for i, byte in enumerate(re.findall(r"[0-9a-f?]{2}", text)):
            shown[number(address) + i] = None if byte == "??" else int(byte, 16)
    assert len(shown) >= 0x80
    found = {address: target.memory.read_optional(address, 1) for address in shown}
    assert {address: data[0] if data else None for address, data in found.items()} == shown


def test_nothing_is_damaged_and_every_part_is_there(pair: Tuple[DumpTarget, str]) -> None:
    found = check_dump(pair[0])
    assert found.notes == ()
    assert found.is_whole


def test_the_processors_name_is_in_the_tagged_data(pair: Tuple[DumpTarget, str]) -> None:
    key = pair[0].tagged_data(PROCESSOR_KEY_TAG)
    assert key is not None
    assert processor_name(key)


#: Dumps with the registers of every processor, as `~Ns` in the engine shows, and those with an SMBIOS table.
ALL_PROCESSORS = {"100623-6156-01", "rts_116_0", "rts_7e_1", "rts_9f", "rts_d1", "triage_arm64", "triage_x64"}
NO_SMBIOS = {"011620-8250-01", "triage_x64"}


@pytest.mark.parametrize("name", NAMES)
def test_registers_of_the_other_processors_where_the_engine_has_them(name: str) -> None:
    target = open_dump(dump(name))
    expected = tuple(range(target.system.processors)) if name in ALL_PROCESSORS else (target.current_processor,)
    assert check_dump(target).registers == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_machines_maker_and_model_come_from_smbios(name: str) -> None:
    table = open_dump(dump(name)).tagged_data(SMBIOS_TAG)
    if name in NO_SMBIOS:
        assert table is None
        return
    assert table is not None
    facts = Smbios(table).facts()
    assert facts["SystemManufacturer"]
    assert facts["SystemProductName"]


@pytest.mark.parametrize("cut", [0x2000, 0x2081, 0xA000, 0x12000, 0x1B9FF, 0x20000])
def test_a_cut_real_dump_gives_what_is_left(tmp_path: Path, cut: int) -> None:
    whole = open_dump(dump("011620-8250-01"))
    path = tmp_path / "cut.dmp"
    path.write_bytes(Path(whole.name).read_bytes()[:cut])
    target = open_dump(str(path))
    notes: List[str] = list(target.notes)
    assert notes
    registers = whole.context(whole.current_processor)
    assert target.context(target.current_processor)["rip"] == registers["rip"]
    assert len(target.modules) == (len(whole.modules) if cut >= 0x12000 else 0)
