"""`cpuinfo`: the processors as their KPRCBs describe them.

Format: the example of the !cpuinfo page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registers import X64
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

#: KPRCB.CpuVendor where the words are missing: CPU_AMD, CPU_INTEL, CPU_VIA of public symbols.
_VENDORS = {1: "AuthenticAMD", 2: "GenuineIntel", 3: "CentaurHauls"}
_KEY = "\\REGISTRY\\MACHINE\\HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0"


class ProcessorFacts(Record):
    """A processor; what cannot be read is None."""

    number: int
    family: Optional[int]
    model: Optional[int]
    stepping: Optional[int]
    manufacturer: Optional[str]
    megahertz: Optional[int]
    #: The version of the microcode, in the upper half.
    signature: Optional[Hex]
    #: KPRCB.FeatureBits.
    features: Optional[Hex]


class ProcessorList(Record):
    """The processors, and the versions of microcode that the registry keeps; None where it is not in the dump."""

    processors: Tuple[ProcessorFacts, ...]
    cached_signature: Optional[Hex]
    initial_signature: Optional[Hex]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def processor_lines(result: ProcessorList) -> Iterator[Line]:
    yield "CP  F/M/S Manufacturer  MHz PRCB Signature    MSR 8B Signature Features"
    for each in result.processors:
        version = ",".join("?" if part is None else str(part) for part in (each.family, each.model, each.stepping))
        signature = "?" * 16 if each.signature is None else f"{each.signature:016x}"
        features = "?" * 8 if each.features is None else f"{each.features & 0xFFFF_FFFF:08x}"
        speed = "?" if each.megahertz is None else str(each.megahertz)
        # The register itself is not in a dump.
        yield (f"{each.number:2d}  {version} {each.manufacturer or '?':<12} {speed:>4} {signature} {'':>18}{features}")
    for title, value in (
        ("Cached Update Signature", result.cached_signature),
        ("Initial Update Signature", result.initial_signature),
    ):
        if value is not None:
            yield f"{title:>45} {value:016x}"
    for problem in result.problems:
        yield (Span(problem, "dim"),)


@command(
    "cpuinfo",
    category="Kernel",
    summary="The processors: family, model, stepping, speed, microcode",
    arguments=(Expression("processor", "only this one"),),
    render=processor_lines,
)
def cpuinfo(session: Session, processor: Optional[int] = None) -> ProcessorList:
    """Shows what each processor is: family, model and stepping, its maker, its speed, the version of its microcode, and
    the features that the kernel found in it.
    """
    target = session.dump
    if target.architecture is not X64:
        raise CommandError("cpuinfo knows the processors of x64 only")
    count = target.system.processors
    if processor is not None and not 0 <= processor < count:
        raise CommandError(f"{processor} is not a valid processor number")
    target.type("_KPRCB")
    gaps = Gaps()
    found = [_facts(target, number, gaps) for number in (range(count) if processor is None else [processor])]
    cached, initial = (_kept(target, name) for name in ("Update Signature", "Previous Update Signature"))
    return ProcessorList(tuple(found), cached, initial, gaps.lines())


def _facts(target: Target, number: int, gaps: Gaps) -> ProcessorFacts:
    what = f"processor {number}"
    prcb = gaps.read(what, lambda: target.type("_KPRCB").at(target.prcb_address(number)))
    if prcb is None:
        return ProcessorFacts(number, *[None] * 7)

    def value(name: str) -> Optional[int]:
        found: Optional[int] = gaps.read(what, lambda: int(prcb.member(name)))
        return found

    step, family = value("CpuStep"), value("CpuType")
    vendor = gaps.read(what, lambda: prcb.VendorString.text()) or _VENDORS.get(int(prcb.get("CpuVendor", 0)))
    signature = value("UpdateSignature.QuadPart")
    features = value("FeatureBits")
    return ProcessorFacts(
        number,
        None if family is None else family & 0xFF,
        None if step is None else step >> 8,
        None if step is None else step & 0xFF,
        vendor,
        value("MHz"),
        None if signature is None else Hex(signature & 0xFFFF_FFFF_FFFF_FFFF),
        None if features is None else Hex(features),
    )


def _kept(target: Target, name: str) -> Optional[Hex]:
    """A version of the microcode that the registry keeps of the first processor."""
    from dumpkit.kernel.hive import Registry

    try:
        value = Registry(target).open(_KEY).value(name)
    except DumpkitError:
        return None
    if value is None or not isinstance(value.data, bytes) or len(value.data) < 8:
        return None
    return Hex(int.from_bytes(value.data[:8], "little"))
