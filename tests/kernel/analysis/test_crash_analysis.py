"""Every bugcheck that is described, on a forged crash: its context, the access, the culprit and the bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.kernel.analysis.crash_analysis import CrashAnalysis, analyze_crash

from tests.kernel.analysis.crash_scene import ACCESS_VIOLATION, FAULT_ADDRESS, GONE, PAGED, crash

#: Code, arguments (names of the scene's, or hexadecimal), kind of context, module to blame, bucket.
TABLE = """
1    IP 0 ffff0000 1            crash    bad   0x1_bad!Touch
a    ADDR 2 1 IP                trap     bad   AV_bad!Touch
18   0 DEV 0 0                  crash    bad   0x18_bad!Touch
19   22 ADDR 0 0                crash    bad   0x19_22_bad!Touch
19   5 ADDR 0 ADDR              crash    bad   0x19_5_bad!Touch
1a   41792 ADDR 400 0           crash    bad   0x1a_41792_bad!Touch
1e   c0000005 IP 1 ADDR         context  bad   AV_bad!Touch
20   0 ffff 0 1                 crash    bad   0x20_NULLAPC_KAPC_NEGATIVE_bad!Touch
24   b50190 ER CX 0             context  bad   0x24_bad!Touch
39   ROUTINE 0 0 0              crash    slow  0x39_slow!Worker
3b   c0000005 IP CX 0           context  bad   AV_bad!Touch
3d   ER CX 0 0                  context  bad   AV_bad!Touch
44   IRP 0 0 0                  crash    bad   0x44_bad!Touch
4a   IP 2 0 0                   crash    bad   0x4A_bad!Touch
4e   99 1234 0 0                crash    bad   0x4E_99_bad!Touch
50   ADDR 2 IP 0                trap     bad   AV_W_(null)_bad!Touch
50   ADDR 0 IP 2                trap     bad   AV_R_INVALID_bad!Touch
50   ADDR 10 IP 0               trap     bad   AV_X_(null)_bad!Touch
5a   1 0 0 0                    crash    bad   0x5A_bad!Touch
74   2 0 0 c000009a             crash    bad   0x74_bad!Touch
7a   1 c000000e PROC ADDR       crash    bad   0x7a_c000000e_bad!Touch
7b   NAME 0 0 0                 crash    bad   0x7B_bad!Touch
7e   ffffffffc0000005 IP ER CX  context  bad   AV_bad!Touch
7f   8 0 0 0                    trap     bad   0x7f_8_bad!Touch
8e   c0000005 IP TF 0           trap     bad   AV_bad!Touch
9f   3 DEV 0 IRP                crash    slow  0x9F_3_IMAGE_slow.sys
9f   4 12c THR 0                thread   slow  0x9F_4_slow!Worker
a0   101 c0000005 IP 0          crash    bad   0xa0_101_bad!Touch
be   ADDR 0 0 0                 trap     bad   AV_bad!Touch
c1   ADDR ADDR 0 23             crash    bad   0xC1_23_bad!Touch
c2   7 0 0 ADDR                 crash    bad   0xc2_7_bad!Touch
c4   62 0 0 1                   crash    bad   0xc4_62_bad!Touch
c5   ADDR 2 0 IP                trap     bad   AV_bad!Touch
c9   21f DEV IRP 0              crash    bad   0xc9_21f_bad!Touch
d1   ADDR 2 1 IP                trap     bad   AV_bad!Touch
d1   ADDR 2 0 IP                trap     bad   AV_bad!Touch
d5   ADDR 1 IP 0                trap     bad   AV_bad!Touch
d8   NAME 1000 0 2000           crash    gpu   0xD8_gpu!unknown_function
da   300 ADDR 0 0               crash    bad   0xDA_300_bad!Touch
e2   0 0 0 0                    crash    bad   0xE2_bad!Touch
e3   ADDR THR 0 2               crash    bad   0xE3_bad!Touch
ea   THR 0 NAME 1               thread   gpu   0xEA_IMAGE_gpu.sys
ef   PROC 0 0 0                 crash    bad   0xEF_System_bad!Touch
ef   THR 1 0 0                  crash    bad   0xEF_System_bad!Touch
f4   3 PROC 0 0                 crash    bad   0xF4_bad!Touch
f7   1 2 fffffffd 0             crash    bad   0xF7_bad!Touch
fc   IP 0 0 0                   trap     bad   AV_bad!Touch
fe   8 6 0 0                    crash    bad   0xFE_8_bad!Touch
101  c 0 PRCB 1                 processor slow 0x101_slow!Spin
109  0 0 0 1                    crash    -     0x109_ANALYSIS_INCONCLUSIVE
10d  4 DEV 0 0                  crash    bad   0x10D_4_bad!Touch
116  0 GPU c000009a 4           crash    gpu   0x116_IMAGE_gpu.sys
117  0 GPU 0 0                  crash    gpu   LKD_0x117_IMAGE_gpu.sys
119  2 c000000d 0 0             crash    bad   0x119_2_bad!Touch
124  0 ADDR 0 0                 crash    -     0x124_0_ANALYSIS_INCONCLUSIVE
12b  ADDR 1234 0 0              crash    bad   0x12B_bad!Touch
133  0 501 500 0                crash    bad   0x133_DPC_bad!Touch
133  1 1e00 0 0                 crash    bad   0x133_ISR_bad!Touch
139  1d TF ER 0                 trap     bad   0x139_1d_INVALID_BALANCED_TREE_bad!Touch
139  3 TF ER 0                  trap     bad   0x139_3_CORRUPT_LIST_ENTRY_bad!Touch
13a  12 0 ADDR 0                crash    bad   0x13a_12_bad!Touch
13c  THR 1 0 0                  crash    bad   0x13C_bad!Touch
144  3 0 0 0                    crash    bad   0x144_3_bad!Touch
14f  6 2 0 0                    crash    -     0x14F_ANALYSIS_INCONCLUSIVE
153  THR ADDR 1 0               crash    bad   0x153_KERNEL_LOCK_ENTRY_LEAKED_ON_THREAD_TERMINATION_LOCK_POINTER_NOT_NULL_bad!Touch
154  0 EP 0 0                   context  bad   0x154_bad!Touch
161  5461736b6d6772 0 0 0       crash    -     LIVE_SYSTEM_DUMP
162  THR ADDR 1 0               crash    bad   0x162_bad!Touch
18b  0 0 0 0                    crash    -     0x18B_ANALYSIS_INCONCLUSIVE
1ca  1000 0 0 1                 processor slow 0x1CA_slow!Spin
1d5  0 0 THR 1388               thread   slow  0x1D5_slow!Worker
8    0 0 0 0                    crash    bad   0x8_bad!Touch
23   b50190 ER CX 0             context  bad   0x23_bad!Touch
35   IRP 0 0 0                  crash    bad   0x35_bad!Touch
77   c000000e c000000e 0 0      crash    bad   0x77_bad!Touch
7c   1 0 0 0                    crash    bad   0x7C_1_bad!Touch
9c   0 ADDR 0 0                 crash    bad   0x9C_bad!Touch
b8   THR THR 0 0                crash    bad   0xB8_bad!Touch
cb   GPU 0 0 1                  crash    gpu   0xCB_gpu!unknown_function
cc   ADDR 1 IP 0                trap     bad   AV_bad!Touch
d3   ADDR 2 8 IP                trap     bad   AV_bad!Touch
d6   ADDR 0 IP 0                trap     bad   AV_bad!Touch
ed   DEV c000014f 0 0           crash    bad   0xED_bad!Touch
10e  1d 0 0 0                   crash    bad   0x10E_1d_bad!Touch
141  0 GPU 0 0                  crash    gpu   LKD_0x141_IMAGE_gpu.sys
1c8  1b58 0 0 0                 crash    -     0x1C8_ANALYSIS_INCONCLUSIVE
34   50853 0 0 0                crash    bad   0x34_bad!Touch
76   0 PROC 1 0                 crash    bad   0x76_bad!Touch
76   1 ADDR 1 0                 crash    bad   0x76_bad!Touch
a5   3 ADDR c0000034 5055545f   crash    bad   0xA5_3_bad!Touch
ca   1 DEV DEV 0                crash    slow  0xCA_1_slow!unknown_function
ca   9 0 0 0                    crash    bad   0xCA_9_bad!Touch
de   2 ADDR 0 0                 crash    bad   0xDE_bad!Touch
e6   26 DEV 0 6                 crash    slow  0xE6_26_slow!unknown_function
f5   66 ADDR 0 0                crash    bad   0xF5_66_bad!Touch
112  1 0 0 0                    crash    bad   0x112_bad!Touch
11b  IRP ROUTINE 0 0            crash    slow  0x11B_slow!Worker
121  1 0 0 0                    crash    bad   0x121_bad!Touch
122  5 0 0 0                    crash    bad   0x122_bad!Touch
127  ADDR 1234 0 0              crash    bad   0x127_bad!Touch
12e  ADDR ADDR ADDR 10          crash    bad   0x12E_bad!Touch
132  ADDR 0 0 0                 crash    bad   0x132_bad!Touch
13b  1 ADDR 0 0                 crash    bad   0x13B_bad!Touch
145  c0000428 ADDR 10 0         crash    bad   0x145_bad!Touch
149  b50190 ER CX IP            context  bad   0x149_bad!Touch
149  b50190 0 0 0               crash    bad   0x149_bad!Touch
156  0 0 0 0                    crash    bad   LKD_0x156_bad!Touch
157  THR 10 1 0                 crash    bad   0x157_bad!Touch
159  1 ADDR 0 0                 crash    bad   0x159_bad!Touch
15c  1 0 0 0                    crash    -     LKD_0x15C_ANALYSIS_INCONCLUSIVE
15f  1 ADDR 1388 0              crash    -     LKD_0x15F_ANALYSIS_INCONCLUSIVE
164  1 ADDR ADDR ADDR           crash    bad   0x164_1_bad!Touch
16e  ADDR 0 0 0                 crash    bad   0x16E_bad!Touch
171  1 0 0 0                    crash    bad   0x171_bad!Touch
187  1 0 0 0                    crash    bad   LKD_0x187_bad!Touch
189  ADDR ADDR 0 0              crash    bad   0x189_bad!Touch
192  THR ADDR 2 0               crash    bad   0x192_bad!Touch
193  300 0 0 0                  crash    bad   LKD_0x193_bad!Touch
19c  20 THR 0 0                 thread   slow  0x19C_slow!Worker
1a8  8 0 0 0                    crash    -     LKD_0x1A8_ANALYSIS_INCONCLUSIVE
1aa  0 0 0 0                    crash    bad   0x1AA_bad!Touch
1ab  0 0 0 0                    crash    bad   0x1AB_bad!Touch
1c4  20004 ADDR 0 0             crash    bad   LKD_0x1C4_bad!Touch
1c5  1 ADDR 0 0                 crash    -     LKD_0x1C5_ANALYSIS_INCONCLUSIVE
1c6  1 0 0 0                    crash    bad   0x1C6_bad!Touch
1c7  1 0 0 0                    crash    bad   0x1C7_bad!Touch
1c9  PROC 3c 3 0                crash    -     LKD_0x1C9_ANALYSIS_INCONCLUSIVE
1cc  ADDR THR 1 3c              thread   slow  LKD_0x1CC_slow!Worker
1cd  ADDR 0 0 0                 crash    bad   0x1CD_bad!Touch
1ce  ADDR 0 0 0                 crash    bad   0x1CE_bad!Touch
1cf  1000 0 0 1                 processor slow 0x1CF_slow!Spin
10d  4 0 ROUTINE 0              crash    slow  0x10D_4_slow!Worker
10d  f ROUTINE 0 0              crash    slow  0x10D_f_slow!Worker
144  1 IRP ADDR DEV             crash    slow  0x144_1_slow!unknown_function
fe   2 IRP IRP ADDR             crash    slow  0xFE_2_slow!unknown_function
1d2  0 THR 0 0                  crash    bad   0x1D2_bad!Touch
1d3  1 0 ADDR 0                 crash    bad   0x1D3_bad!Touch
1d4  0 1 ADDR 0                 crash    -     LKD_0x1D4_ANALYSIS_INCONCLUSIVE
1d6  ROUTINE 1 ADDR ADDR        crash    slow  0x1D6_slow!Worker
1db  0 0 0 0                    crash    bad   0x1DB_bad!Touch
1e0  0 0 0 0                    crash    bad   0x1E0_bad!Touch
c000021a ADDR c0000005 0 0      crash    bad   0xC000021A_bad!Touch
deaddead 0 0 0 0                crash    bad   0xDEADDEAD_bad!Touch
"""  # noqa: E501
ROWS = [line.split() for line in TABLE.splitlines() if line.strip()]
KINDS = {"trap": "trap frame", "context": "context record"}

Analyse = Callable[..., CrashAnalysis]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(crash().write_symbols(tmp_path_factory.mktemp("symbols")))


@pytest.fixture
def analyse(tmp_path: Path, store: str) -> Iterator[Analyse]:
    """Analyses a bugcheck on the forged crash."""
    opened = []

    def run(code: int, *words: str, dump_type: int = 6, symbols: bool = True, fault_at: int = 0) -> CrashAnalysis:
        made = crash(fault_at)
        parameters = made.parameters(words)
        path = tmp_path / "forged.dmp"
        path.write_bytes(made.dump(code, parameters, dump_type))
        target = open_dump(str(path), symbol_path=store if symbols else "", offline=True)
        opened.append(target)
        return analyze_crash(target, code, parameters)

    yield run
    for target in opened:
        target.close()


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
def test_a_bugcheck_leads_to_its_context_culprit_and_bucket(row: list, analyse: Analyse) -> None:
    code, *words, kind, module, bucket = row
    found = analyse(int(code, 16), *words)
    assert found.failing is not None
    assert found.failing.kind == KINDS.get(kind, kind)
    assert found.culprit.module == (None if module == "-" else module)
    assert found.bucket == bucket
    assert len(found.failing.frames) >= 2
    assert found.bugcheck.name is not None
    assert ("culprit" in found.evidence) == (module != "-")
    assert ("culprit" in found.unknown) == (module == "-")


@pytest.mark.parametrize(
    ("code", "words", "operation"),
    [
        (0xD1, "ADDR 2 0 IP", "Read"),
        (0xD1, "ADDR 2 1 IP", "Write"),
        (0xD1, "ADDR 2 8 IP", "Execute"),
        (0xA, "ADDR 2 1 IP", "Write"),
        (0xA, "ADDR 2 8 IP", "Execute"),
        (0x50, "ADDR 0 IP 0", "Read"),
        (0x50, "ADDR 2 IP 0", "Write"),
        (0x50, "ADDR 11 IP 0", "Execute"),
        (0xBE, "ADDR 0 0 0", "Write"),
        (0xFC, "ADDR 0 0 0", "Execute"),
        (0xCE, "ADDR 1 IP 0", "Write"),
        (0x7E, "c0000005 IP ER CX", "Write"),
        (0x1E, "c0000005 IP 1 ADDR", "Write"),
    ],
)
def test_the_access_is_what_arguments_or_record_say(code: int, words: str, operation: str, analyse: Analyse) -> None:
    found = analyse(code, *words.split())
    assert found.access is not None
    assert (found.access.address, found.access.operation) == (FAULT_ADDRESS, operation)


def test_an_instruction_in_an_image_that_is_gone_is_blamed_on_it(analyse: Analyse) -> None:
    found = analyse(0xCE, f"{GONE:x}", "8", "IP", "0", fault_at=GONE)
    assert found.culprit.module == "Unloaded_gone"
    assert found.culprit.image == "gone.sys"
    assert found.culprit.symbol == "<Unloaded_gone.sys>"
    assert found.culprit.offset == 0x1230
    assert found.bucket == "AV_Unloaded_gone!unknown_function"


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (0xD1, "ADDR 2 1 IP", "trap frame"),
        (0xA, "ADDR 2 1 IP", "trap frame"),
        (0x50, "ADDR 2 IP 0", "trap frame"),
        (0xBE, "ADDR 0 0 0", "trap frame"),
        (0x1E, "c0000005 IP 1 ADDR", "context record"),
        (0x7E, "c0000005 IP ER CX", "context record"),
        (0x3B, "c0000005 IP CX 0", "context record"),
        (0x139, "3 TF ER 0", "trap frame"),
        # The arguments lead nowhere: the records are found on the stack.
        (0x7E, "c0000005 IP 1000 2000", "context record"),
        (0x3B, "c0000005 IP 1000 0", "context record"),
    ],
)
def test_without_symbols_and_images_the_context_is_found_by_its_form(
    code: int, words: str, kind: str, analyse: Analyse
) -> None:
    found = analyse(code, *words.split(), dump_type=4, symbols=False)
    assert found.failing is not None
    assert found.failing.kind == kind
    assert found.failing.context.instruction_pointer == crash().names["IP"]
    assert found.culprit.module == "bad"
    assert found.bucket.endswith("bad!unknown_function")
    assert "process_name" in found.unknown


def test_a_call_of_pageable_code_is_told_from_a_wild_pointer(analyse: Analyse) -> None:
    found = analyse(0xD1, "IP", "2", "8", "IP", fault_at=PAGED)
    assert found.is_paged_code
    assert found.bucket == "AV_CODE_AV_PAGED_IP_bad!Paged"
    assert found.evidence["paged_code"] == "section PAGE of bad.sys, which is pageable"
    other = analyse(0xD1, "IP", "2", "8", "IP")
    assert not other.is_paged_code
    assert other.bucket == "AV_bad!Touch"


def test_a_request_without_symbols_leads_to_its_driver(tmp_path: Path) -> None:
    made = crash()
    blocks = [(made.names["IRP"], 0x200), (made.names["DEV"], 0x150), (made.names["DRV"], 0x150)]
    machine = made.machine
    kept = machine.triage_blocks
    machine.triage_blocks = blocks
    try:
        parameters = made.parameters(["3", "DEV", "0", "IRP"])
        path = tmp_path / "forged.dmp"
        path.write_bytes(made.dump(0x9F, parameters, 4))
    finally:
        machine.triage_blocks = kept
    target = open_dump(str(path), symbol_path="", offline=True)
    found = analyze_crash(target, 0x9F, parameters)
    assert found.culprit.image == "slow.sys"
    assert "IRP" in found.evidence["culprit"]
    target.close()


def test_the_process_that_died_is_named(analyse: Analyse) -> None:
    for code, words in ((0xEF, "PROC 0 0 0"), (0xF4, "3 PROC 0 0")):
        subject = analyse(code, *words.split()).subject
        assert subject is not None
        assert (subject.address, subject.name) == (crash().names["PROC"], "System")
    assert analyse(0xEF, "THR", "1", "0", "0").subject is None
    wild = analyse(0xEF, "IRP", "0", "0", "0")
    assert wild.subject is None
    assert "is no process" in wild.unknown["subject"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(0xE3, "0 THR 0 2"), (0x153, "THR 0 1 0"), (0x162, "THR 0 0 0"), (0xEA, "THR 0 NAME 1"), (0x9F, "4 1 THR 0")],
)
def test_the_thread_is_told_with_where_it_began(code: int, words: str, analyse: Analyse) -> None:
    thread = analyse(code, *words.split()).thread
    assert thread is not None
    assert (thread.address, thread.process, thread.state) == (crash().names["THR"], "System", "Waiting")
    assert (thread.start, thread.start_symbol) == (crash().names["ROUTINE"], "slow!Worker")
    wild = analyse(code, *words.replace("THR", "DEV").split())
    assert wild.thread is None
    assert "thread" in wild.unknown


def test_the_request_is_told_with_its_driver(analyse: Analyse) -> None:
    request = analyse(0x9F, "3", "DEV", "0", "IRP").request
    assert request is not None
    assert (request.major, request.minor, request.driver) == ("IRP_MJ_POWER", "IRP_MN_SET_POWER", "slow")
    assert request.devices == [crash().names["DEV"]]


def test_an_exception_other_than_an_access_violation_is_in_the_bucket(analyse: Analyse) -> None:
    assert analyse(0x7E, "c000001d", "IP", "ER", "CX").bucket == "0x7E_c000001d_bad!Touch"


def test_the_record_is_kept_with_its_address(analyse: Analyse) -> None:
    found = analyse(0x7E, "c0000005", "IP", "ER", "CX")
    assert found.exception is not None
    address, record = found.exception
    assert address == crash().names["ER"]
    assert (record.code, record.parameters) == (ACCESS_VIOLATION, (1, FAULT_ADDRESS))
    assert found.keys["AV.Fault"] == "Write"


@pytest.mark.parametrize(
    "words",
    [
        "0 0 0 0",
        "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        "8000000000000000 1 2 3",
        "TF TF TF TF",
        "CX CX CX CX",
        "IRP DEV THR PROC",
    ],
)
@pytest.mark.parametrize("code", sorted({row[0] for row in ROWS}))
def test_arguments_that_lead_nowhere_end_in_an_analysis(code: str, words: str, analyse: Analyse) -> None:
    found = analyse(int(code, 16), *words.split())
    assert found.bucket
    assert found.failing is not None
    assert found.culprit.module is not None or found.unknown["culprit"]


def test_every_statement_has_its_evidence(analyse: Analyse) -> None:
    found = analyse(0xD1, "ADDR", "2", "1", "IP")
    wanted: Tuple[str, ...] = ("failing_context", "faulting_access", "culprit", "process_name", "build")
    assert set(wanted) <= set(found.evidence)
    assert "unwinding" in found.evidence["failing_context"]
    assert not set(found.evidence) & set(found.unknown)
