from __future__ import annotations

import pytest
from dumpkit.kernel.status import hresult, ntstatus, ntstatus_text, win32_error

from tests.running import run, run_lines, session_on


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "c000009a",
            "(NTSTATUS) 0xc000009a (3221225626) - Insufficient system resources exist to complete the API.",
        ),
        (
            "00000000c0000005",
            "(NTSTATUS) 0xc0000005 (3221225477) - "
            "The instruction at 0x%p referenced memory at 0x%p. The memory could not be %s.",
        ),
        (
            "ffffffffc000009a",
            "(NTSTATUS) 0xc000009a (3221225626) - Insufficient system resources exist to complete the API.",
        ),
        ("2", "(Win32) 0x2 (2) - The system cannot find the file specified."),
        ("2 1", "(NTSTATUS) 0x2 (2) - STATUS_WAIT_2"),
        ("0x80072023", "(HRESULT) 0x80072023 (2147950627) - The size limit for this request was exceeded."),
        ("e0434352", "(NTSTATUS) 0xe0434352 (3762504530) - <Unable to get error code text>"),
        ("0n123456789", "(Win32) 0x75bcd15 (123456789) - <Unable to get error code text>"),
    ],
)
def test_a_code_is_explained_as_the_debugger_does(line, text):
    assert run_lines(session_on(None), f"error {line}") == [f"Error code: {text}"]


def test_the_result_has_the_name():
    assert run(session_on(None), "error c0000034").name == "STATUS_OBJECT_NAME_NOT_FOUND"


def test_codes_are_found_exactly():
    assert ntstatus(0xC0000005).name == "STATUS_ACCESS_VIOLATION"
    assert ntstatus(0xFFFFFFFF_C0000005).name == "STATUS_ACCESS_VIOLATION"
    assert ntstatus(0xC00000051) is None
    assert win32_error(0).name == "ERROR_SUCCESS"
    assert win32_error(0xFFFFFFFF) is None
    assert hresult(0x80070005).name == "ERROR_ACCESS_DENIED"
    assert hresult(0x80010005) is None


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0x80000003, "{EXCEPTION}  Breakpoint  A breakpoint has been reached."),
        (0xC000001D, "{EXCEPTION}  Illegal Instruction  An attempt was made to execute an illegal instruction."),
        (0xC0000094, "{EXCEPTION}  Integer division by zero."),
        (0xC000009C, "STATUS_DEVICE_DATA_ERROR"),
        (0xFFFFFFFF_C000000E, "A device which does not exist was specified."),
        (
            0xC0000006,
            "The instruction at 0x%p referenced memory at 0x%p. The required data was not placed into memory because "
            "of an I/O error status of 0x%x.",
        ),
        (2, "STATUS_WAIT_2"),
        (0xE06D7363, "<Unable to get error code text>"),
    ],
)
def test_a_status_has_the_systems_message_with_its_lines_behind_each_other(code, text):
    assert ntstatus_text(code) == text
