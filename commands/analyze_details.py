"""What `analyze` says behind the closing rule: of hardware errors, DPCs that ran too long, processes that ended."""

from __future__ import annotations

from dumpkit.output import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from dumpkit.commands.analyze_facts import Analysis
    from dumpkit.kernel.analysis.dpc_watchdog import DpcWatchdog
    from dumpkit.kernel.analysis.hardware_error import DeviceError, HardwareError, MachineCheck
    from dumpkit.kernel.analysis.plug_and_play import PlugAndPlay
    from dumpkit.output import Line

#: What the exit status of a process is before that has ended (ntstatus.h).
STATUS_PENDING = 0x103
#: Power requests that are shown; the result has all.
_MOST_REQUESTS = 16


def hardware_lines(found: HardwareError) -> Iterator[Line]:
    """Who reported the error, and what each part says of it."""
    if found.record is not None:
        link = Span(f"{found.record:016x}", "address", f"!errrec {found.record:x}")
        grave = f", {found.severity.lower()}" if found.severity is not None else ""
        yield ("Hardware: ", link, f" is the record of a {found.notified_by}{grave}")
    if found.processor_error is not None:
        place = f" {found.processor:x}" if found.processor is not None else ""
        yield f"Hardware: processor{place}: {found.processor_error}"
    for words in found.checks:
        yield f"Hardware: processor check: {words}"
    for check in found.machine_checks:
        yield from _check_lines(check)
    for device in found.devices:
        yield from _device_lines(device)
    for memory in found.memory:
        place = ", ".join(f"{name.replace('_', ' ')} {number:x}" for name, number in memory.place.items())
        where = f" at physical address {memory.physical_address:x}" if memory.physical_address is not None else ""
        yield f"Hardware: memory{where}: {memory.error or 'an error of no known type'}{f' ({place})' if place else ''}"
    if found.others:
        yield f"Hardware: the record has beside this: {', '.join(found.others)}"


def _check_lines(check: MachineCheck) -> Iterator[Line]:
    status = check.status
    numbers = (("processor", check.processor), ("bank", check.bank))
    place = ", ".join(f"{name} {number:x}" for name, number in numbers if number is not None)
    yield f"Hardware: machine check{f' of {place}' if place else ''}: {status.error} ({status.kind})"
    yield f"          MCi_STATUS {status.value:016x}: {', '.join(status.flags) or 'not valid'}"
    for name, value in (("MCi_ADDR", check.address), ("MCi_MISC", check.misc)):
        if value is not None:
            yield f"          {name} {value:016x}"


def _device_lines(device: DeviceError) -> Iterator[Line]:
    at = device.location
    place = f"{at.segment:04x}:{at.bus:02x}:{at.device:02x}.{at.function:x}"
    port = f"{device.port} " if device.port is not None else ""
    errors = f": {', '.join(device.errors)}" if device.errors else ""
    yield f"Hardware: {port}{place}, vendor {at.vendor_id:04x}, device {at.device_id:04x}{errors}"


def watchdog_lines(found: DpcWatchdog) -> Iterator[Line]:
    """What ran on the processor that the watchdog stopped, and for how long."""
    times = [f"{value}" if value is not None else "?" for value in (found.ticks, found.limit)]
    time = f"{times[0]} ticks of {times[1]} that it may"
    if found.routine is not None:
        name = found.symbol or f"{found.routine:016x}"
        what = "ran for" if found.is_single else "runs; DISPATCH_LEVEL lasted for"
        yield (f"DPC: on processor {found.processor} ", Span(name, "symbol", f"u {found.routine:x}"), f" {what} {time}")
    else:
        yield f"DPC: processor {found.processor} was at DISPATCH_LEVEL or above for {time}"
    if found.waiting:
        yield ("DPC: ", Span(f"{found.waiting} more wait", "symbol", "!dpcs"), " in the processor's queue")
    if found.profile:
        names = ", ".join(f"{each.symbol} ({each.count})" for each in found.profile)
        yield f"DPC: the watchdog's profile has addresses in {names}"


def exit_lines(result: Analysis) -> Iterator[Line]:
    """How the process ended that the bugcheck is about, and who ended it."""
    if result.subject is None or result.exit_status is None:
        return
    link = Span(f"{result.subject:016x}", "address", f"!process {result.subject:x} 1")
    if result.exit_status == STATUS_PENDING:
        yield ("Process: ", link, f" ({result.subject_name}) has no exit status yet")
    else:
        text = f" - {result.exit_status_text}" if result.exit_status_text else ""
        yield ("Process: ", link, f" ({result.subject_name}) ended with {result.exit_status:08x}{text}")
    if result.ended_by is not None:
        yield f"Process: {result.ended_by} ended it"


def plug_and_play_lines(found: PlugAndPlay) -> Iterator[Line]:
    """The devices that the bugcheck is about, and who has the power requests."""
    for device in found.devices:
        link = Span(f"{device.device:016x}", "address", f"!devobj {device.device:x}")
        service = f", service {device.service}" if device.service else ", without a service"
        yield ("Device: ", link, f" is {device.instance or 'without an instance'}{service}")
    for request in found.power_requests[:_MOST_REQUESTS]:
        link = Span(f"{request.irp:016x}", "address", f"!irp {request.irp:x}")
        where = f" of the device {request.device:016x}" if request.device else ""
        yield ("Power: the request ", link, f"{where} is with {request.driver or 'no driver that can be named'}")
    if len(found.power_requests) > _MOST_REQUESTS:
        yield f"Power: {len(found.power_requests) - _MOST_REQUESTS} more requests are under way"
