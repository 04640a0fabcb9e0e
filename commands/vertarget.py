"""`vertarget` and `.time`: which Windows this is, and when."""

from __future__ import annotations

from dumpkit.clock import Zone, from_filetime, session_time, uptime
from dumpkit.kernel.version import product_line, version_line
from dumpkit.numbers import quoted
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional


class Times(Record):
    """When the machine stopped and how long it had run; None where the target does not say."""

    #: FILETIME, UTC; as text, ISO 8601.
    system_time: Optional[Hex]
    utc: Optional[str]
    #: 100 ns units.
    uptime: Optional[int]
    zone: Zone


class Version(Record):
    """The facts of `vertarget`."""

    version: str
    product: Optional[str]
    build_lab: Optional[str]
    machine_name: str
    kernel_base: Optional[Hex]
    loaded_module_list: Hex
    times: Times


def times_lines(times: Times) -> Iterator[str]:
    """The two lines of `.time`."""
    if times.system_time:
        yield f"Debug session time: {session_time(times.system_time, times.zone)}"
    yield f"System Uptime: {uptime(times.uptime)}"


def base_line(kernel_base: Optional[int], loaded_module_list: int) -> str:
    """Where the kernel and its module list are."""
    base = f"0x{quoted(kernel_base)}" if kernel_base is not None else "not in the dump"
    return f"Kernel base = {base} PsLoadedModuleList = 0x{quoted(loaded_module_list)}"


def version_lines(result: Version) -> Iterator[str]:
    yield result.version
    if result.product is not None:
        yield result.product
    if result.build_lab is not None:
        yield f"Built by: {result.build_lab}"
    yield f"Machine Name:{' ' + result.machine_name if result.machine_name else ''}"
    yield base_line(result.kernel_base, result.loaded_module_list)
    yield from times_lines(result.times)


def times_of(session: Session) -> Times:
    """The times of the session's target."""
    system = session.dump.system
    when = system.system_time
    return Times(
        Hex(when) if when else None,
        from_filetime(when, Zone()).iso() if when else None,
        system.uptime,
        session.zone,
    )


@command(
    ".time",
    category="Dump",
    summary="When the machine stopped, and how long it had run",
    render=times_lines,
)
def dot_time(session: Session) -> Times:
    """Shows the time of the dump in the host's time zone (see the option --time-zone) and the system's uptime."""
    return times_of(session)


@command(
    "vertarget",
    category="Dump",
    summary="Version of Windows, kernel base and times",
    render=version_lines,
)
def vertarget(session: Session) -> Version:
    """Shows the version of Windows that the dump was taken of, where its kernel was loaded, and when it stopped."""
    target = session.dump
    system = target.system
    return Version(
        version_line(system, target.architecture),
        product_line(system),
        system.build_lab,
        "",
        Hex(system.kernel_base) if system.kernel_base is not None else None,
        Hex(system.ps_loaded_module_list),
        times_of(session),
    )
