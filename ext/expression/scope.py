"""What names mean while an expression is evaluated: registers, pseudo-registers, symbols, memory."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dumpkit.errors import DumpkitError, RegisterError, SymbolError
from dumpkit.memory import PAGE_SIZE, U64_MASK, AddressSpace
from dumpkit.registers import PARTS, X64, Architecture, Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Mapping, MutableMapping, Optional, Tuple

    from dumpkit.symbols.types import Type

#: The engine's own pseudo-registers, without their dollar signs ("Pseudo-Register Syntax" in Microsoft's
#: debugger documentation); those that a target does not have are refused by name.
PSEUDO_REGISTERS = frozenset(
    """ip scopeip eventip previp relip exentry ea ea2 csp ra retreg retreg64 argreg exp p frame proc thread peb teb
    tpid tid dpid dtid dsid pcr prcb ptrsize pagesize dbgtime callret extret extin clrex lastclrex
    exr_chance exr_code exr_numparams bug_code bug_param1 bug_param2 bug_param3 bug_param4""".split()
    + [f"t{number}" for number in range(20)]
    + [f"exr_param{number}" for number in range(15)]
)

#: Registers that stand before numbers and symbols of the same spelling even without an @. The engine gives
#: the whole register for them: `ebp` is rbp, where `@ebp` is its lower half.
_WHOLE = {
    "eax": "rax",
    "ebx": "rbx",
    "ecx": "rcx",
    "edx": "rdx",
    "esi": "rsi",
    "edi": "rdi",
    "ebp": "rbp",
    "esp": "rsp",
    "eip": "rip",
    "efl": "efl",
}


class Scope(ABC):
    """Where an expression finds its names. Values are unsigned and of 64 bits."""

    #: Base of numbers without a prefix: 8, 10 or 16.
    radix = 16
    #: Virtual memory.
    memory: AddressSpace
    #: Physical memory, or None where the target has none.
    physical: Optional[AddressSpace] = None
    #: Names that are these registers before they are numbers or symbols.
    whole_registers: Mapping[str, str] = {}

    @abstractmethod
    def register(self, name: str) -> int:
        """The value of a register or a part of one, by its lower-case name. Raises RegisterError."""

    @abstractmethod
    def pseudo_register(self, name: str) -> int:
        """The value of a pseudo-register, by its lower-case name without the dollar sign. Raises RegisterError."""

    @abstractmethod
    def symbol(self, name: str) -> int:
        """The virtual address of `module!symbol`, `symbol` or `module`. Raises SymbolError."""

    def type(self, name: str, module: Optional[str] = None) -> Type:
        """The type of a name, of a module where one is named. Raises SymbolError."""
        raise SymbolError(f"no type {name}: no dump is open")

    def variable(self, name: str) -> Tuple[int, Type]:
        """The virtual address and the type of a variable, by its name. Raises SymbolError."""
        raise SymbolError(f"no variable {name}: no dump is open")

    def evaluated(self, value: int) -> None:  # noqa: B027 - a scope may have no $exp
        """Called with the value of every expression, which $exp is from then on."""


class NoMemory(AddressSpace):
    """Memory of which nothing is there."""

    def read_prefix(self, address: int, size: int) -> bytes:
        return b""

    def explain(self, address: int) -> str:
        return "no dump is open"


class BareScope(Scope):
    """Numbers and the session's variables, where no target is open."""

    def __init__(self, radix: int = 16, variables: Optional[MutableMapping[str, int]] = None) -> None:
        self.radix = radix
        self.memory = NoMemory()
        self.variables: MutableMapping[str, int] = variables if variables is not None else {}

    def evaluated(self, value: int) -> None:
        self.variables["exp"] = value

    def register(self, name: str) -> int:
        raise RegisterError(f"no register {name}: no dump is open")

    def pseudo_register(self, name: str) -> int:
        if name in self.variables or name in _ZERO:
            return self.variables.get(name, 0) & U64_MASK
        raise RegisterError(f"no pseudo-register ${name}: no dump is open")

    def symbol(self, name: str) -> int:
        raise SymbolError(f"no symbol {name}: no dump is open")


class TargetScope(Scope):
    """The names of a target, with one context for its registers.

    `context` is called when a register is asked for. `variables` holds what is set in the session
    ($t0 to $t19, $p, and $exp, which evaluating sets), by name without the dollar sign; `providers`
    computes what needs the kernel model ($proc, $thread, $teb, $ra, ...).
    """

    def __init__(
        self,
        target: Target,
        context: Callable[[], Context],
        radix: int = 16,
        variables: Optional[MutableMapping[str, int]] = None,
        providers: Optional[Mapping[str, Callable[[], int]]] = None,
    ) -> None:
        self.target = target
        self.context = context
        self.radix = radix
        self.memory = target.memory
        self.physical = target.physical
        self.variables: MutableMapping[str, int] = variables if variables is not None else {}
        self.providers: Mapping[str, Callable[[], int]] = providers if providers is not None else {}
        if target.architecture is X64:
            self.whole_registers = _WHOLE

    def evaluated(self, value: int) -> None:
        self.variables["exp"] = value

    def register(self, name: str) -> int:
        return self._current()[name] & U64_MASK

    def _current(self) -> Context:
        try:
            return self.context()
        except RegisterError:
            raise
        except DumpkitError as error:
            raise RegisterError(f"no registers: {error}") from error

    def pseudo_register(self, name: str) -> int:
        provider = self.providers.get(name)
        if provider is not None:
            return self._provided(name, provider)
        if name in self.variables:
            return self.variables[name] & U64_MASK
        value = self._from_context(name)
        if value is None:
            value = self._from_target(name)
        if value is None and name in _ZERO:
            value = 0
        if value is None:
            raise RegisterError(f"no pseudo-register ${name} on this target")
        return value & U64_MASK

    def _provided(self, name: str, provider: Callable[[], int]) -> int:
        try:
            return provider() & U64_MASK
        except RegisterError:
            raise
        except DumpkitError as error:
            raise RegisterError(f"no pseudo-register ${name}: {error}") from error

    def _from_context(self, name: str) -> Optional[int]:
        if name in ("ip", "scopeip"):
            return self._current().instruction_pointer
        if name == "csp":
            return self._current().stack_pointer
        register = _REGISTERS.get(name)
        if register is None:
            return None
        return self._current()[register[0] if self.target.architecture is X64 else register[1]]

    def _from_target(self, name: str) -> Optional[int]:
        if name == "ptrsize":
            return 8
        if name == "pagesize":
            return PAGE_SIZE
        if name == "eventip":
            return self.target.context(self.target.current_processor).instruction_pointer
        bugcheck = self.target.bugcheck
        if bugcheck is not None and name == "bug_code":
            return bugcheck.code
        if bugcheck is not None and name.startswith("bug_param"):
            return bugcheck.parameters[int(name[len("bug_param") :]) - 1]
        return None

    def type(self, name: str, module: Optional[str] = None) -> Type:
        return self.target.symbols.type_in(name, module)[1]

    def variable(self, name: str) -> Tuple[int, Type]:
        for found in self.target.symbols.matching(name):
            type = self.target.symbols.type_of(found)
            if type is not None and type.size:
                return found.address, type
        raise SymbolError(f"{name}: its symbols have no type")

    def symbol(self, name: str) -> int:
        """As in Scope. A module stands before a symbol of its name, by its debugger name or its file's.

        A name that is a register is no symbol here: looking for it would load every module's symbols.
        """
        if "!" in name.lstrip("!"):
            return self.target.symbols.address_of(name)
        module = self.target.module_called(name.lstrip("!"))
        if module is not None:
            return module.base
        if not name.startswith("!") and _is_register(self.target.architecture, name.lower()):
            raise SymbolError(f"{name} is a register")
        return self.target.symbols.address_of(name.lstrip("!"))


def _is_register(architecture: Architecture, name: str) -> bool:
    return name in architecture.layout or name in architecture.aliases or name in PARTS[architecture.name]


#: Pseudo-registers that stand for a register: x64, ARM64.
_REGISTERS: Dict[str, Tuple[str, str]] = {
    "retreg": ("rax", "x0"),
    "retreg64": ("rax", "x0"),
    "argreg": ("rcx", "x0"),
}

#: What is zero until something sets it.
_ZERO = frozenset([f"t{number}" for number in range(20)] + "exp p frame dpid dtid dsid callret extret".split())
