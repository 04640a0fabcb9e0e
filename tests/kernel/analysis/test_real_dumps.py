"""analyze on every real dump of ../shared: name, context, stack, and the module that its table names."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional

import pytest
from dumpkit.commands.analyze_facts import Analysis

from tests.running import run, run_lines, session_of, session_on
from tests.shared import SYMBOLS, dump, needs_shared, needs_symbols

pytestmark = needs_shared


class Expected(NamedTuple):
    """What an analysis says."""

    name: str
    context: str
    module: Optional[str]
    frames: int = 3


DUMPS: Dict[str, Expected] = {
    "011620-8250-01": Expected("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M", "context record", "winhvr"),
    "082325-12593-01": Expected("MEMORY1_INITIALIZATION_FAILED", "crash", "ibthfp"),
    "100623-6156-01": Expected("PAGE_FAULT_IN_NONPAGED_AREA", "trap frame", "FLTMGR"),
    "111417-58375-01": Expected("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M", "context record", "RTKVHD64"),
    "rts_116_0": Expected("VIDEO_TDR_FAILURE", "crash", "nvlddmkm"),
    "rts_13a": Expected("KERNEL_MODE_HEAP_CORRUPTION", "crash", "WdFilter"),
    "rts_3b_0": Expected("SYSTEM_SERVICE_EXCEPTION", "context record", "win32kfull"),
    "rts_7e_1": Expected("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M", "context record", "nvlddmkm"),
    "rts_9f": Expected("DRIVER_POWER_STATE_FAILURE", "crash", "disk"),
    "rts_d1": Expected("DRIVER_IRQL_NOT_LESS_OR_EQUAL", "trap frame", "ks"),
    "triage_arm64": Expected("MANUALLY_INITIATED_POWER_BUTTON_HOLD", "crash", None),
    "triage_x64": Expected("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M", "context record", "amdppm"),
}


@pytest.mark.parametrize("name", DUMPS)
def test_a_real_dump_is_analysed_without_symbols(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_NT_SYMBOL_PATH", raising=False)
    session = session_of(name)
    expected = DUMPS[name]
    found: Analysis = run(session, "analyze -v")
    bugcheck = session.dump.bugcheck
    assert bugcheck is not None
    assert found.description.name == expected.name
    assert tuple(argument.value for argument in found.description.arguments) == bugcheck.parameters
    assert found.failing_context is not None
    assert found.failing_context.kind == expected.context
    assert found.culprit.module == expected.module
    assert len(found.frames) >= expected.frames
    assert "process_name" in found.unknown
    lines = run_lines(session, "analyze -v")
    assert "STACK_TEXT:  " in lines
    assert "---------" in lines


@needs_symbols
@pytest.mark.parametrize(
    ("name", "symbol", "bucket"),
    [
        ("triage_x64", "amdppm!WriteIoMemRawEx", "AV_amdppm!WriteIoMemRawEx"),
        ("100623-6156-01", "FLTMGR", "AV_X_INVALID_FLTMGR!unknown_function"),
    ],
)
def test_a_real_dump_is_analysed_with_its_symbols(name: str, symbol: str, bucket: str) -> None:
    from dumpkit.dump import open_dump

    path = f"{SYMBOLS / 'isf'};{SYMBOLS / 'store'}"
    session = session_on(open_dump(dump(name), symbol_path=path, offline=True))
    found: Analysis = run(session, "analyze -v")
    assert found.culprit.symbol == symbol
    assert found.bucket == bucket
    assert found.process == "System"
    assert "process_name" in found.evidence


def test_the_instruction_of_rts_d1_is_where_its_argument_says() -> None:
    found: Analysis = run(session_of("rts_d1"), "analyze")
    assert found.failing_context is not None
    assert found.failing_context.instruction_pointer == found.description.arguments[3].value
    assert found.frames[found.culprit.frame or 0].instruction == found.description.arguments[3].value
