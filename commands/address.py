"""`address`: what a kernel address is part of."""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.kernel.system_va import UNKNOWN, SystemVaRegion, region_of, system_va_types
from dumpkit.kernel.ticks import KI_USER_SHARED_DATA
from dumpkit.memory import U64_MASK
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_PAGE = 0x1000
#: Types of regions in which stacks may lie.
_STACK_TYPES = (None, "Unused", "KernelStacks", "SystemPtes", "SystemPtesLarge")


class AddressUse(Record):
    """What an address is part of, [base, end); base and end are None where nothing tells them."""

    address: Hex
    #: "Module", "Stack", "Pool", "SharedPage", or "" where only the region is known.
    usage: str
    base: Optional[Hex]
    end: Optional[Hex]
    #: _MI_SYSTEM_VA_TYPE without its MiVa.
    va_type: Optional[str]
    module: Optional[str] = None
    module_path: Optional[str] = None
    #: The ETHREAD whose stack it is.
    thread: Optional[Hex] = None
    #: The pool block, its tag, and whether it is allocated.
    block: Optional[Hex] = None
    tag: Optional[str] = None
    allocated: Optional[bool] = None
    evidence: Tuple[str, ...] = ()


class AddressMap(Record):
    """The regions of the system's address space, as `address` alone lists them."""

    regions: Tuple[AddressUse, ...]
    problem: Optional[str]


def _field(label: str, text: str) -> str:
    return f"{label + ':':<24}{text}"


def address_lines(result: Record) -> Iterator[Line]:
    if isinstance(result, AddressMap):
        for region in result.regions:
            end = (region.end or Hex(0)) - 1 & U64_MASK
            yield f"{quoted(region.base or 0)} {quoted(end)} {region.va_type}"
        if result.problem is not None:
            yield result.problem
        return
    assert isinstance(result, AddressUse)
    yield _field("Usage", result.usage)
    if result.base is not None and result.end is not None:
        yield _field("Base Address", quoted(result.base))
        yield _field("End Address", quoted(result.end))
        yield _field("Region Size", quoted(result.end - result.base & U64_MASK))
    if result.va_type is not None:
        yield _field("VA Type", result.va_type)
    if result.module is not None:
        yield _field("Module name", result.module)
        yield _field("Module path", f"[{result.module_path}]")
    if result.thread is not None:
        yield (_field("Thread", ""), Span(f"{result.thread:016x}", "address", f"t {result.thread:x}"))
    if result.block is not None:
        state = {True: "allocated", False: "free"}.get(result.allocated, "damaged")  # type: ignore[arg-type]
        tag = f", tag {result.tag}" if result.tag is not None else ""
        place = Span(f"{result.block:016x}", "address", f"pool {result.address:x}")
        yield (_field("Pool block", ""), place, f" ({state}{tag})")
    if result.va_type is None and not result.usage:
        yield from result.evidence


def _threads(target: Target) -> Iterator[int]:
    """The virtual addresses of the KTHREADs: those that ran first, then those of every process that can be read."""
    from dumpkit.kernel.process import idle_process, processes

    for number in range(target.system.processors):
        try:
            yield target.thread_address(number)
        except DumpkitError:
            continue
    try:
        for process in (*filter(None, [idle_process(target)]), *processes(target)):
            yield from (thread.address for thread in process.threads())
    except DumpkitError:
        # The threads are one way among several to know an address.
        return


def _stack(target: Target, address: int) -> Optional[Tuple[int, int, int]]:
    """(thread, limit, base) of the kernel stack that holds an address, or None."""
    try:
        type = target.type("_KTHREAD")
    except SymbolError:
        return None
    for thread in _threads(target):
        record = type.at(thread)
        limit, base = record.get("StackLimit"), record.get("StackBase")
        if limit is not None and base is not None and int(limit) <= address < int(base):
            return thread, int(limit), int(base)
    return None


def _pool(target: Target, address: int, region: SystemVaRegion) -> Optional[AddressUse]:
    from dumpkit.kernel.pool import find_allocation

    try:
        found = find_allocation(target, address)
    except SymbolError:
        return None
    if found.block is None:
        return None
    return AddressUse(
        Hex(address),
        "Pool",
        found.start,
        found.end,
        region.type,
        block=found.block,
        tag=found.tag,
        allocated=found.allocated,
        evidence=found.evidence,
    )


def use_of(target: Target, address: int) -> AddressUse:
    """What a virtual address is part of; where only its region is known, that."""
    region = region_of(target, address)
    module = target.module_at(address)
    if module is not None:
        return AddressUse(
            Hex(address),
            "Module",
            Hex(module.base),
            Hex(module.end),
            region.type,
            module.image_name,
            module.image_path,
            evidence=("the list of loaded modules", region.evidence),
        )
    if address & -_PAGE == KI_USER_SHARED_DATA:
        return AddressUse(
            Hex(address), "SharedPage", Hex(KI_USER_SHARED_DATA), Hex(KI_USER_SHARED_DATA + _PAGE), region.type
        )
    if region.is_pool or region.type is None:
        found = _pool(target, address, region)
        if found is not None:
            return found
    stack = _stack(target, address) if region.type in _STACK_TYPES and address >> 47 else None
    if stack is not None:
        thread, limit, base = stack
        evidence = ("the thread's StackLimit and StackBase", region.evidence)
        return AddressUse(
            Hex(address), "Stack", Hex(limit), Hex(base), region.type, thread=Hex(thread), evidence=evidence
        )
    if region.type is None:
        return AddressUse(Hex(address), "", None, None, None, evidence=(region.evidence,))
    usage = region.name if region.name != UNKNOWN else ""
    return AddressUse(Hex(address), usage, Hex(region.base), Hex(region.end), region.type, evidence=(region.evidence,))


@command(
    "address",
    category="Kernel",
    summary="What a kernel address is part of",
    arguments=(Expression("address", "a virtual address; without one, all regions of the system's address space"),),
    render=address_lines,
)
def address(session: Session, address: int = 0) -> Record:
    """Shows the module, pool block, kernel stack or region of the system's address space that holds an address.

    Without an address: every region, 512 GB and more each, and what the memory manager uses it for.
    """
    if address:
        return use_of(session.dump, address & U64_MASK)
    types = system_va_types(session.dump)
    found = tuple(
        AddressUse(Hex(region.base), "", Hex(region.base), Hex(region.end), region.type or region.name)
        for region in types.of_type(lambda name: True)
    )
    problem = f"no table of system address types: {types.problem}" if types.problem is not None else None
    return AddressMap(found, problem)
