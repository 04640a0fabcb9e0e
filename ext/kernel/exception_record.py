"""Exception records: what was raised, where, and with which parameters."""

from __future__ import annotations

from struct import Struct

from dumpkit.target import ExceptionRecord, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional

#: EXCEPTION_RECORD64 (winnt.h): code, flags, next record, address, number of parameters, padding, 15 parameters.
_LAYOUT = Struct("<IIQQII15Q")

ACCESS_VIOLATION = 0xC0000005
IN_PAGE_ERROR = 0xC0000006
POSSIBLE_DEADLOCK = 0xC0000194
STACK_BUFFER_OVERRUN = 0xC0000409

#: Exception codes (ntstatus.h, and those that Microsoft's compilers and runtimes raise) in the debugger's words.
EXCEPTION_WORDS: Dict[int, str] = {
    0x4000001E: "WOW64 single step exception",
    0x4000001F: "WOW64 breakpoint",
    0x40010005: "Control-C exception",
    0x40010008: "Control-Break exception",
    0x40010009: "Debugger command exception",
    0x40080201: "Windows Runtime Originate Error",
    0x40080202: "Windows Runtime Transform Error",
    0x406D1388: "Visual C++ exception",
    0x80000001: "Guard page violation",
    0x80000002: "Data misaligned",
    0x80000003: "Break instruction exception",
    0x80000004: "Single step exception",
    ACCESS_VIOLATION: "Access violation",
    IN_PAGE_ERROR: "In-page I/O error",
    0xC0000008: "Invalid handle",
    0xC000001C: "Invalid system call",
    0xC000001D: "Illegal instruction",
    0xC000001E: "Invalid lock sequence",
    0xC0000037: "Port disconnected",
    0xC0000094: "Integer divide-by-zero",
    0xC0000095: "Integer overflow",
    0xC00000FD: "Stack overflow",
    STACK_BUFFER_OVERRUN: "Security check failure or stack buffer overrun",
    0xC0000420: "Assertion failure",
    0xC0000421: "Verifier stop",
    0xCFFFFFFF: "Application hang",
    0xE0434352: "CLR exception",
    0xE0434F4D: "CLR exception",
    0xE06D7363: "C++ EH exception",
    0xEFFFFFFF: "Service hang",
}


def exception_record(target: Target, address: int) -> ExceptionRecord:
    """The EXCEPTION_RECORD at a virtual address. At most 15 parameters are believed. Raises MemoryReadError."""
    code, flags, record, place, count, _, *parameters = _LAYOUT.unpack(target.memory.read(address, _LAYOUT.size))
    return ExceptionRecord(code, flags, record, place, tuple(parameters[:count]))


def exception_words(code: int) -> Optional[str]:
    """What the debugger calls an exception code, or None."""
    return EXCEPTION_WORDS.get(code)


def exception_meaning(record: ExceptionRecord) -> Optional[str]:
    """What an exception's parameters mean, in the debugger's words; None where it has none for them."""
    parameters = record.parameters
    if record.code == ACCESS_VIOLATION and len(parameters) > 1:
        operation = {1: "write to", 8: "execute non-executable"}.get(parameters[0], "read from")
        return f"Attempt to {operation} address {parameters[1]:016x}"
    if record.code == IN_PAGE_ERROR and len(parameters) > 2:
        return f"Inpage operation failed at {parameters[1]:016x}, due to I/O error {parameters[2]:016x}"
    if record.code == STACK_BUFFER_OVERRUN and parameters and parameters[0]:
        return f"Subcode: 0x{parameters[0]:x} {fast_fail_name(parameters[0]) or '(unknown subcode)'}"
    if record.code == POSSIBLE_DEADLOCK and parameters:
        return f"Critical section at {parameters[0]:016x}"
    return None


def fast_fail_name(code: int) -> Optional[str]:
    """The name of a `__fastfail` code (FAST_FAIL_* of winnt.h), or None."""
    name = _FAST_FAILS.get(code)
    return f"FAST_FAIL_{name}" if name is not None else None


#: FAST_FAIL_* of winnt.h.
_FAST_FAILS: Dict[int, str] = {
    **dict(
        enumerate(
            """LEGACY_GS_VIOLATION VTGUARD_CHECK_FAILURE STACK_COOKIE_CHECK_FAILURE CORRUPT_LIST_ENTRY INCORRECT_STACK
            INVALID_ARG GS_COOKIE_INIT FATAL_APP_EXIT RANGE_CHECK_FAILURE UNSAFE_REGISTRY_ACCESS
            GUARD_ICALL_CHECK_FAILURE GUARD_WRITE_CHECK_FAILURE INVALID_FIBER_SWITCH INVALID_SET_OF_CONTEXT
            INVALID_REFERENCE_COUNT""".split()
        )
    ),
    **dict(
        enumerate(
            """INVALID_JUMP_BUFFER MRDATA_MODIFIED CERTIFICATION_FAILURE INVALID_EXCEPTION_CHAIN CRYPTO_LIBRARY
            INVALID_CALL_IN_DLL_CALLOUT INVALID_IMAGE_BASE DLOAD_PROTECTION_FAILURE UNSAFE_EXTENSION_CALL
            DEPRECATED_SERVICE_INVOKED INVALID_BUFFER_ACCESS INVALID_BALANCED_TREE INVALID_NEXT_THREAD
            GUARD_ICALL_CHECK_SUPPRESSED APCS_DISABLED INVALID_IDLE_STATE MRDATA_PROTECTION_FAILURE
            UNEXPECTED_HEAP_EXCEPTION INVALID_LOCK_STATE GUARD_JUMPTABLE INVALID_LONGJUMP_TARGET
            INVALID_DISPATCH_CONTEXT INVALID_THREAD INVALID_SYSCALL_NUMBER INVALID_FILE_OPERATION LPAC_ACCESS_DENIED
            GUARD_SS_FAILURE LOADER_CONTINUITY_FAILURE GUARD_EXPORT_SUPPRESSION_FAILURE INVALID_CONTROL_STACK
            SET_CONTEXT_DENIED INVALID_IAT HEAP_METADATA_CORRUPTION PAYLOAD_RESTRICTION_VIOLATION
            LOW_LABEL_ACCESS_DENIED ENCLAVE_CALL_FAILURE UNHANDLED_LSS_EXCEPTON ADMINLESS_ACCESS_DENIED
            UNEXPECTED_CALL CONTROL_INVALID_RETURN_ADDRESS UNEXPECTED_HOST_BEHAVIOR FLAGS_CORRUPTION VEH_CORRUPTION
            ETW_CORRUPTION RIO_ABORT INVALID_PFN GUARD_ICALL_CHECK_FAILURE_XFG CAST_GUARD HOST_VISIBILITY_CHANGE
            KERNEL_CET_SHADOW_STACK_ASSIST PATCH_CALLBACK_FAILED NTDLL_PATCH_FAILED INVALID_FLS_DATA""".split(),
            18,
        )
    ),
}
