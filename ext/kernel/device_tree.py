"""The Plug and Play manager's tree of devices.

_DEVICE_NODE of the kernel's symbols, linked by Child and Sibling; bits of Flags and numbers of problems: the public
descriptions of !devnode (DNF_…) and cfg.h (CM_PROB_…).
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Set, Tuple

#: No machine has more of them.
MOST_NODES = 50_000
_DEEPEST = 64
#: _PNP_DEVNODE_STATE where the symbols do not name its numbers; a Windows 11 moved them, its symbols tell.
STARTED = "DeviceNodeStarted"
#: DNF_HAS_PROBLEM, DNF_HAS_PRIVATE_PROBLEM.
_PROBLEM_FLAGS = 0x2000 | 0x4000

#: CM_PROB_… (cfg.h).
_PROBLEMS = (
    "",
    "CM_PROB_NOT_CONFIGURED",
    "CM_PROB_DEVLOADER_FAILED",
    "CM_PROB_OUT_OF_MEMORY",
    "CM_PROB_ENTRY_IS_WRONG_TYPE",
    "CM_PROB_LACKED_ARBITRATOR",
    "CM_PROB_BOOT_CONFIG_CONFLICT",
    "CM_PROB_FAILED_FILTER",
    "CM_PROB_DEVLOADER_NOT_FOUND",
    "CM_PROB_INVALID_DATA",
    "CM_PROB_FAILED_START",
    "CM_PROB_LIAR",
    "CM_PROB_NORMAL_CONFLICT",
    "CM_PROB_NOT_VERIFIED",
    "CM_PROB_NEED_RESTART",
    "CM_PROB_REENUMERATION",
    "CM_PROB_PARTIAL_LOG_CONF",
    "CM_PROB_UNKNOWN_RESOURCE",
    "CM_PROB_REINSTALL",
    "CM_PROB_REGISTRY",
    "CM_PROB_VXDLDR",
    "CM_PROB_WILL_BE_REMOVED",
    "CM_PROB_DISABLED",
    "CM_PROB_DEVLOADER_NOT_READY",
    "CM_PROB_DEVICE_NOT_THERE",
    "CM_PROB_MOVED",
    "CM_PROB_TOO_EARLY",
    "CM_PROB_NO_VALID_LOG_CONF",
    "CM_PROB_FAILED_INSTALL",
    "CM_PROB_HARDWARE_DISABLED",
    "CM_PROB_CANT_SHARE_IRQ",
    "CM_PROB_FAILED_ADD",
    "CM_PROB_DISABLED_SERVICE",
    "CM_PROB_TRANSLATION_FAILED",
    "CM_PROB_NO_SOFTCONFIG",
    "CM_PROB_BIOS_TABLE",
    "CM_PROB_IRQ_TRANSLATION_FAILED",
    "CM_PROB_FAILED_DRIVER_ENTRY",
    "CM_PROB_DRIVER_FAILED_PRIOR_UNLOAD",
    "CM_PROB_DRIVER_FAILED_LOAD",
    "CM_PROB_DRIVER_SERVICE_KEY_INVALID",
    "CM_PROB_LEGACY_SERVICE_NO_DEVICES",
    "CM_PROB_DUPLICATE_DEVICE",
    "CM_PROB_FAILED_POST_START",
    "CM_PROB_HALTED",
    "CM_PROB_PHANTOM",
    "CM_PROB_SYSTEM_SHUTDOWN",
    "CM_PROB_HELD_FOR_EJECT",
    "CM_PROB_DRIVER_BLOCKED",
    "CM_PROB_REGISTRY_TOO_LARGE",
    "CM_PROB_SETPROPERTIES_FAILED",
    "CM_PROB_WAITING_ON_DEPENDENCY",
    "CM_PROB_UNSIGNED_DRIVER",
    "CM_PROB_USED_BY_DEBUGGER",
    "CM_PROB_DEVICE_RESET",
    "CM_PROB_CONSOLE_LOCKED",
    "CM_PROB_NEED_CLASS_CONFIG",
    "CM_PROB_GUEST_ASSIGNMENT_FAILED",
)


def problem_name(number: int) -> str:
    """CM_PROB_FAILED_START for 10."""
    return _PROBLEMS[number] if 0 < number < len(_PROBLEMS) else f"problem {number}"


class DeviceNode:
    """A _DEVICE_NODE at a virtual address. Properties raise MemoryReadError and SymbolError."""

    def __init__(self, target: Target, address: int, level: int = 0) -> None:
        self.target = target
        self.address = address
        #: 0 for where a walk began.
        self.level = level
        self.record: Any = target.type("_DEVICE_NODE").at(address)

    @property
    def instance(self) -> str:
        """InstancePath: PCI\\VEN_8086&DEV_3B22\\3&21436425&0&FA."""
        return str(self.record.InstancePath.text())

    @property
    def service(self) -> str:
        """The service that drives it; "" where none does."""
        return str(self.record.ServiceName.text())

    @property
    def physical_device(self) -> int:
        """The virtual address of its physical device object."""
        return int(self.record.PhysicalDeviceObject)

    def state(self, member: str = "State") -> Tuple[int, Optional[str]]:
        """A state (State, PreviousState): its number and its name, None of a number without one."""
        value = self.record.member(member)
        return int(value), getattr(value, "name", None)

    @property
    def problem(self) -> int:
        """CM_PROB_…; 0 where it has none."""
        has_problem = int(self.record.get("Flags", _PROBLEM_FLAGS)) & _PROBLEM_FLAGS
        return int(self.record.get("Problem", 0)) if has_problem else 0

    @property
    def problem_status(self) -> int:
        """The NTSTATUS that goes with the problem; 0 where the Windows keeps none."""
        return int(self.record.get("ProblemStatus", 0)) & 0xFFFF_FFFF

    @property
    def child(self) -> int:
        """The virtual address of its first child, or 0."""
        return int(self.record.Child)

    @property
    def sibling(self) -> int:
        """The virtual address of its next sibling, or 0."""
        return int(self.record.Sibling)


class DeviceTree:
    """A node and all below it, each before its children; `problems` grows while they are walked."""

    def __init__(self, target: Target, root: int) -> None:
        self.target = target
        self.root = root
        self.problems: List[str] = []

    def __iter__(self) -> Iterator[DeviceNode]:
        seen: Set[int] = set()
        waiting: List[Tuple[int, int]] = [(self.root, 0)]
        while waiting:
            place, level = waiting.pop()
            if place in seen:
                self.problems.append(f"the tree loops at {place:016x}")
                continue
            if level > _DEEPEST or len(seen) == MOST_NODES:
                self.problems.append(f"the tree is not followed at {place:016x}: it is larger than any can be")
                continue
            seen.add(place)
            node = DeviceNode(self.target, place, level)
            yield node
            # Siblings wait below the children: the last pushed is walked first.
            for member, depth in (("sibling", level), ("child", level + 1)):
                if member == "sibling" and level == 0:
                    continue
                try:
                    following = int(getattr(node, member))
                except MemoryReadError as error:
                    self.problems.append(f"what follows node {place:016x} is not in the dump: {error.reason}")
                    break
                if following:
                    waiting.append((following, depth))


def root_node(target: Target) -> int:
    """The virtual address of the tree's root. Raises SymbolError, MemoryReadError; DumpkitError where there is none."""
    try:
        place = target.memory.u64(target.symbols.address_of("nt!IopRootDeviceNode"))
    except SymbolError as error:
        raise SymbolError(f"the tree of devices needs the kernel's symbols: {error}") from error
    if not place:
        raise DumpkitError("nt!IopRootDeviceNode is null: the tree of devices was not made yet")
    return place
