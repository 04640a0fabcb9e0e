"""`di`: which machine this was, and what stopped it."""

from __future__ import annotations

from typing import Iterator, Optional

from dumpkit.commands.bugcheck import BugcheckData, bugcheck_data
from dumpkit.commands.vertarget import Times, base_line, times_lines, times_of
from dumpkit.kernel.machine import MachineFacts, machine_facts
from dumpkit.kernel.version import product_line, version_line
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import Switch, command
from dumpkit.session import Session

_MISSING = "Not Found"


class DumpInfo(Record):
    """The facts of `di`; what the dump lacks is None."""

    computer_name: Optional[str]
    version: str
    product: Optional[str]
    build_lab: Optional[str]
    kernel_base: Optional[Hex]
    loaded_module_list: Hex
    times: Times
    system_manufacturer: Optional[str]
    system_product_name: Optional[str]
    processor: Optional[str]
    bugcheck: Optional[BugcheckData]
    dump_path: Optional[str] = None
    dump_kind: Optional[str] = None


def dump_info_lines(result: DumpInfo) -> Iterator[str]:
    # mex leaves two spaces before a name that it did not find.
    yield f"Computer Name: {result.computer_name or ' ' + _MISSING}"
    yield result.version
    yield result.product or f"Product: {_MISSING}"
    yield f"Edition build lab: {result.build_lab or _MISSING}"
    yield base_line(result.kernel_base, result.loaded_module_list)
    yield from times_lines(result.times)
    yield f"SystemManufacturer = {result.system_manufacturer or _MISSING}"
    yield f"SystemProductName = {result.system_product_name or _MISSING}"
    yield f"Processor: {result.processor or _MISSING}"
    if result.bugcheck is not None:
        arguments = ", ".join(f"{argument:X}" for argument in result.bugcheck.arguments)
        yield f"Bugcheck: {result.bugcheck.code:X} ({arguments})"
    if result.dump_path is not None:
        yield f"Dump: {result.dump_path} ({result.dump_kind})"


@command(
    "di",
    aliases=("dumpinfo",),
    category="Dump",
    summary="The machine, its Windows, its times and its bugcheck",
    arguments=(Switch("verbose", ("-v", "-verbose"), "the dump's kind and path too"),),
    render=dump_info_lines,
)
def di(session: Session, verbose: bool = False) -> DumpInfo:
    """Shows what the dump says of its machine. A field that the dump does not hold is shown as Not Found."""
    target = session.dump
    system = target.system
    facts: MachineFacts = machine_facts(target)
    return DumpInfo(
        facts.computer_name,
        version_line(system, target.architecture),
        product_line(system),
        system.build_lab,
        Hex(system.kernel_base) if system.kernel_base is not None else None,
        Hex(system.ps_loaded_module_list),
        times_of(session),
        facts.system_manufacturer,
        facts.system_product_name,
        facts.processor_name,
        bugcheck_data(target.bugcheck) if target.bugcheck is not None else None,
        target.name if verbose else None,
        target.kind if verbose else None,
    )
