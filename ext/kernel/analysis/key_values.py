"""The keys and values of a crash that are the same for every bugcheck: Windows, hypervisor, dump.

HvlpFlags and HvlpRootFlags are words of bits whose names WinDbg shows and no public symbol file has. What is known
(from public transcripts) is which names belong to which set of bits, not which bit within a set is whose: a set whose
bits are all set or all clear gives its names' values, another one does not.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple


class _Bits(Record):
    """Bits of a word, and the names that belong to them in an unknown order."""

    mask: int
    names: Tuple[str, ...]


_FLAGS = (
    _Bits(1 << 4, ("DeprecateAutoEoi",)),
    _Bits(
        0xA10EC,
        (
            "AnyHypervisorPresent",
            "DynamicCpuDisabled",
            "ExtendedProcessorMasks",
            "HardwareMbecAvailable",
            "Phase0InitDone",
            "SynicAvailable",
            "VpAssistPage",
            "VsmAvailable",
        ),
    ),
    _Bits(0x400003, ("ApicEnlightened", "CpuManager", "NoNonArchCoreSharing")),
    _Bits(
        0xFFFFFFFF & ~0x4A10FF,
        (
            "ApicVirtualizationAvailable",
            "AsyncMemoryHint",
            "CoreSchedulerRequested",
            "Epf",
            "MaxBankNumber",
            "MemoryZeroingControl",
            "NoExtendedRangeFlush",
            "PowerSchedulerQos",
            "RootScheduler",
            "UseQpcBias",
        ),
    ),
)
_ROOT_FLAGS = (
    _Bits(
        0x3F7,
        (
            "AccessStats",
            "CrashdumpEnlightened",
            "CreateVirtualProcessor",
            "HostTimelineSync",
            "IsHyperV",
            "LivedumpEnlightened",
            "MapDeviceInterrupt",
            "MceEnlightened",
            "StartLogicalProcessor",
        ),
    ),
    _Bits(0xFFFFFFFF & ~0x3F7, ("DisableHyperthreading", "HypervisorDebuggingEnabled", "Nested")),
)


class Hypervisor(Record):
    """What the kernel knows of a hypervisor, as far as its variables could be read."""

    flags: Optional[int]
    root_flags: Optional[int]

    @property
    def is_guest(self) -> Optional[bool]:
        """Whether the machine ran as a hypervisor's guest; None where that is not known."""
        if self.flags is None or self.root_flags is None:
            return None
        return bool(self.flags & 0xA10EC) and not self.root_flags


def build_version(build_lab: Optional[str], build: int) -> Tuple[Optional[str], Optional[str]]:
    """(version, branch) of a build's lab: "10.0.22621.2506" and "ni_release_svc_prod3"; None where it does not say.

    Labs are "22621.2506.amd64fre.ni_release_svc_prod3.231018-1809", before Windows 10 "9600.17328.amd64fre.winblue…".
    """
    parts = (build_lab or "").split(".")
    if len(parts) < 4 or not parts[0].isdigit() or not parts[1].isdigit():
        return None, None
    major = "10.0" if build > 9650 else {9: "6.3", 8: "6.2", 7: "6.1"}.get(build // 1000, "6.0")
    if 9200 <= build < 9400:
        major = "6.2"
    return f"{major}.{parts[0]}.{parts[1]}", parts[3]


class SystemKeys:
    """The keys of one target."""

    def __init__(self, target: Target, evidence: Evidence) -> None:
        self._target = target
        self._evidence = evidence
        self.values: Dict[str, str] = {}
        self.hypervisor = self._hypervisor()
        self._add_word("SecureKernel.HalpHvciEnabled", "HalpHvciEnabled", 1)
        self.version, self.branch = build_version(self._lab(), target.system.build)
        if self.version is not None and self.branch is not None:
            self.values["WER.OS.Branch"] = self.branch
            self.values["WER.OS.Version"] = self.version

    def _lab(self) -> Optional[str]:
        """NtBuildLabEx, which has the revision; NtBuildLab where symbols do not lead to it."""
        target = self._target
        try:
            text = target.memory.read_prefix(target.symbols.address_of("nt!NtBuildLabEx"), 0x100)
            lab = text.split(b"\0", 1)[0].decode("ascii", "replace")
            if lab.count(".") >= 3:
                self._evidence.note("build", "nt!NtBuildLabEx")
                return lab
        except DumpkitError as error:
            self._evidence.lack("build", error)
        if target.system.build_lab is not None:
            self._evidence.note("build", "nt!NtBuildLab, by the debugger data block")
        return target.system.build_lab

    def _word(self, variable: str, size: int) -> Optional[int]:
        target = self._target
        try:
            data = target.memory.read(target.symbols.address_of(f"nt!{variable}"), size)
        except DumpkitError as error:
            self._evidence.lack(variable, error)
            return None
        self._evidence.note(variable, f"nt!{variable}")
        return int.from_bytes(data, "little")

    def _add_word(self, key: str, variable: str, size: int) -> None:
        value = self._word(variable, size)
        if value is not None:
            self.values[key] = str(value)

    def _hypervisor(self) -> Hypervisor:
        enlightenments = self._word("HvlEnlightenments", 4)
        if enlightenments is not None:
            self._add_value("Hypervisor.Enlightenments", enlightenments)
        flags = self._word("HvlpFlags", 4)
        root_flags = self._word("HvlpRootFlags", 4)
        if flags is not None:
            self._add_bits("Hypervisor.Flags", flags, _FLAGS)
        if root_flags is not None:
            self._add_bits("Hypervisor.RootFlags", root_flags, _ROOT_FLAGS)
        return Hypervisor(flags, root_flags)

    def _add_value(self, prefix: str, value: int) -> None:
        self.values[f"{prefix}.Value"] = str(value)
        self.values[f"{prefix}.ValueHex"] = f"{value:x}"

    def _add_bits(self, prefix: str, value: int, sets: Tuple[_Bits, ...]) -> None:
        self._add_value(prefix, value)
        unknown: List[str] = []
        for bits in sets:
            mask, names = bits.mask, bits.names
            if value & mask not in (0, mask) or (value & mask and mask == sets[-1].mask):
                unknown += names
                continue
            for name in names:
                self.values[f"{prefix}.{name}"] = "1" if value & mask else "0"
        if unknown:
            why = "no public source says which bit is whose"
            self._evidence.lack(prefix, f"{', '.join(unknown)}: {why}")
