"""What the faulting instruction did: the memory that it touched, and how."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.kernel.exception_record import ACCESS_VIOLATION, IN_PAGE_ERROR
from dumpkit.record import Record
from dumpkit.target import ExceptionRecord, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

READ, WRITE, EXECUTE = "Read", "Write", "Execute"
#: ExceptionInformation[0] of an access violation (winnt.h).
_OPERATIONS = {0: READ, 1: WRITE, 8: EXECUTE}


class FaultingAccess(Record):
    """An access to a virtual address; `operation` is None where nothing says how it was touched."""

    address: int
    operation: Optional[str]
    #: Virtual address of the instruction, where an argument or record names it.
    instruction: Optional[int]
    #: "arguments" or "exception record".
    source: str


def _legacy(value: int) -> str:
    # 2 and 8 both stand for the execution of what may not be executed, by the version of Windows.
    return {0: READ, 1: WRITE}.get(value, EXECUTE)


def _page_fault(value: int) -> str:
    if value & 0x10:
        return EXECUTE
    return WRITE if value & 2 else READ


def _bits(value: int) -> str:
    if value & 8:
        return EXECUTE
    return WRITE if value & 1 else READ


_CODINGS = {"d1": _legacy, "rw": lambda value: WRITE if value & 1 else READ, "0a": _bits, "50": _page_fault}
_FIXED = {"write": WRITE, "execute": EXECUTE}


def access_of_arguments(bugcheck: Bugcheck, parameters: Sequence[int], evidence: Evidence) -> Optional[FaultingAccess]:
    """The access that the bugcheck's arguments describe, or None where they describe none."""
    for address, access, coding, instruction in bugcheck.rule("fault"):
        operation = _FIXED.get(coding)
        if access != "-":
            operation = _CODINGS[coding](parameters[int(access) - 1])
        evidence.note("faulting_access", f"the bugcheck's arguments {address} and {access}")
        touched = parameters[int(address) - 1]
        place = parameters[int(instruction) - 1] if instruction != "-" else 0
        # An instruction at 0 is none, but where 0 itself was to be executed.
        is_known = place or (instruction != "-" and operation == EXECUTE and not touched)
        return FaultingAccess(touched, operation, place if is_known else None, "arguments")
    return None


def access_of_record(record: ExceptionRecord, evidence: Evidence) -> Optional[FaultingAccess]:
    """The access that an exception record describes, or None where it is of another exception."""
    if record.code not in (ACCESS_VIOLATION, IN_PAGE_ERROR) or len(record.parameters) < 2:
        return None
    evidence.note("faulting_access", "parameters 0 and 1 of the exception record")
    operation = _OPERATIONS.get(record.parameters[0])
    return FaultingAccess(record.parameters[1], operation, record.address, "exception record")


def is_in_paged_code(target: Target, access: FaultingAccess, evidence: Evidence) -> bool:
    """Whether what could not be touched is the instruction itself, in a part of its image that may be paged out."""
    if access.address != access.instruction:
        return False
    from dumpkit.kernel.paged_code import paged_section

    module = target.module_at(access.address)
    try:
        section = paged_section(target, access.address)
    except DumpkitError as error:
        evidence.lack("paged_code", error)
        return False
    if section is None or module is None:
        return False
    evidence.note("paged_code", f"section {section} of {module.image_name}, which is pageable")
    return True
