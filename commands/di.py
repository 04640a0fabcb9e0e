"""`di`: which machine this was, and what stopped it."""

from __future__ import annotations

from dumpkit.clock import Moment, Zone, from_filetime, moment
from dumpkit.commands.bugcheck import BugcheckData, bugcheck_data
from dumpkit.commands.vertarget import Times, base_line, times_lines, times_of
from dumpkit.durations import short_duration
from dumpkit.kernel.machine import MachineFacts, machine_facts
from dumpkit.kernel.version import product_line, version_line
from dumpkit.output import Hex, Line, table
from dumpkit.record import Record
from dumpkit.registry import Switch, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

    from dumpkit.commands.contexts import ExceptionBlock

_MISSING = "Not Found"


class DumpDetails(Record):
    """What `di -v` shows beyond."""

    path: str
    kind: str
    #: The dump by the computer's name, where that is known and the path is one of Windows.
    share_path: Optional[str]
    #: FILETIME, UTC; None where the dump does not say.
    system_start: Optional[Hex]
    #: Bytes, and seconds since 1970; None where the target is no file.
    file_size: Optional[int]
    file_date: Optional[int]
    exception: Optional[ExceptionBlock]


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
    #: Whether the driver of NotMyFault, which crashes machines on purpose, was loaded.
    is_myfault: bool = False
    details: Optional[DumpDetails] = None


def dump_info_lines(result: DumpInfo) -> Iterator[Line]:
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
    if result.is_myfault:
        yield "Bugcheck: This is a myfault.sys dump."
    if result.details is not None:
        yield from _detail_lines(result.details, result.times)


def _detail_lines(details: DumpDetails, times: Times) -> Iterator[Line]:
    is_full = any(word in details.kind for word in ("full", "complete"))
    yield f"KernelMode {'Full Memory ' if is_full else ''}Dump Path: {details.path}"
    if details.share_path is not None:
        yield f"Share Path: {details.share_path}"
    yield "Verbose mode"
    yield ""
    zone = f"Times ({times.zone})"
    starts = date_time_text(details.system_start, times.zone) if details.system_start is not None else _MISSING
    stopped = date_time_text(times.system_time, times.zone) if times.system_time is not None else _MISSING
    yield from _ruled([("Event", zone), ("System Start", starts), ("Dump Start", stopped)])
    yield ""
    lasted = short_duration(times.uptime // 10_000) if times.uptime is not None else _MISSING
    yield from _ruled([("Stat", "Duration"), ("System Uptime", lasted)])
    yield from ("", "")
    if details.file_size is not None and details.file_date is not None:
        yield f"File size {details.file_size:,}"
        yield f"File date {_day(moment(details.file_date, times.zone))} {_clock(moment(details.file_date, times.zone))}"
    if details.exception is not None:
        from dumpkit.commands.contexts import exception_block_lines

        yield from exception_block_lines(details.exception)
    else:
        yield "The dump has no exception record of its own"


def _ruled(rows: List[Tuple[str, str]]) -> Iterator[str]:
    """A table of two columns with a rule below its heading."""
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = list(table(rows))
    yield lines[0]
    yield " ".join("=" * width for width in widths)
    yield from lines[1:]


def _day(when: Moment) -> str:
    return f"{when.month:02d}/{when.day:02d}/{when.year:04d}"


def _clock(when: Moment) -> str:
    return f"{when.hour:02d}:{when.minute:02d}:{when.second:02d}"


def date_time_text(filetime: int, zone: Zone) -> str:
    """A FILETIME as mex's tables have it: `08/13/2023 04:25:42.458 AM`."""
    when = from_filetime(filetime, zone)
    half = "AM" if when.hour < 12 else "PM"
    clock = f"{when.hour % 12 or 12:02d}:{when.minute:02d}:{when.second:02d}.{when.millisecond:03d}"
    return f"{_day(when)} {clock} {half}"


@command(
    "di",
    aliases=("dumpinfo",),
    category="Dump",
    summary="The machine, its Windows, its times and its bugcheck",
    arguments=(Switch("verbose", ("-v", "-verbose"), "the dump's path, times, size and exception too"),),
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
        target.module_named("myfault") is not None,
        _details(target, facts.computer_name) if verbose else None,
    )


def _details(target: Target, computer: Optional[str]) -> DumpDetails:
    import os

    from dumpkit.commands.contexts import exception_block

    stopped, ran = target.system.system_time, target.system.uptime
    try:
        facts: Optional[os.stat_result] = os.stat(target.name)
    except OSError:
        # A target inside WinDbg has the name of what it is of, not of a file that is here.
        facts = None
    record = target.last_exception
    return DumpDetails(
        target.name,
        target.kind,
        _share_path(target.name, computer),
        Hex(stopped - ran) if stopped and ran is not None and stopped >= ran else None,
        facts.st_size if facts is not None else None,
        int(facts.st_mtime) if facts is not None else None,
        exception_block(target, record) if record is not None else None,
    )


def _share_path(path: str, computer: Optional[str]) -> Optional[str]:
    r"""The path of a file of Windows on a computer by its administrative shares: `\\HOST\ADMIN$\MEMORY.DMP`."""
    if computer is None or path[1:3] != ":\\":
        return None
    windows = "c:\\windows\\"
    if path.lower().startswith(windows):
        return f"\\\\{computer}\\ADMIN$\\{path[len(windows) :]}"
    return f"\\\\{computer}\\{path[0].upper()}$\\{path[3:]}"
