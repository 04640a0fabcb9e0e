"""A forged driver whose functions raise and lower the IRQL, and a kernel of names for what it imports."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence

from dumpkit.kernel.irql_evidence import StackReader
from dumpkit.kernel.irql_flow import Call, Flow
from dumpkit.module import Module
from dumpkit.target import Bugcheck
from dumpkit.target_symbols import SymbolLocation

from tests.forge.assembly import Code
from tests.forge.call_stack import CallStack
from tests.forge.image import Image
from tests.forge.image_sections import PDATA, RDATA, TEXT
from tests.forge.image_tables import Import, ImportedModule
from tests.forge.unwind import Alloc
from tests.kernel.unwinding import ImageTarget
from tests.made_target import MadeSymbols

KERNEL, DRIVER, TOP = 0xFFFFF80000000000, 0xFFFFF80225DA0000, 0xFFFFA00000F00000
IMPORTS = (
    "ExAcquireFastMutex ExReleaseFastMutex ExAllocatePoolWithTag KeAcquireInStackQueuedSpinLock"
    " KeAcquireSpinLockAtDpcLevel KeAcquireSpinLockRaiseToDpc KeGetCurrentIrql KeInitializeDpc KeLowerIrql"
    " KeRaiseIrqlToDpcLevel KeReleaseInStackQueuedSpinLock KeReleaseSpinLock KeReleaseSpinLockFromDpcLevel"
    " KeSetEvent KeWaitForSingleObject KfRaiseIrql IoAcquireCancelSpinLock IoReleaseCancelSpinLock ZwClose ZwCreateFile"
).split()
#: Functions of the kernel that stand on stacks, with the frame that each has.
CALLERS = ("PspSystemThreadStartup", "KiRetireDpcList", "KiSystemServiceCopyEnd", "KeBugCheckEx")
FRAME = 0x28
_NAMES = {"ntoskrnl": "nt", "bad": "bad"}


class DriverSymbols(MadeSymbols):
    """The functions of forged images, by the debugger's names of these."""

    def __init__(self, images: Mapping[str, Image], modules: Sequence[Module]) -> None:
        self._images = images
        self._modules = modules

    def nearest(self, address: int) -> Optional[SymbolLocation]:
        module = next((each for each in self._modules if address in each), None)
        if module is None:
            return None
        image = self._images[module.name]
        places = ((image.base + image.rva_of(each.name), each.name) for each in [*image.functions, *image.variables])
        before = max((place for place in places if place[0] <= address), default=None)
        if before is None:
            return SymbolLocation(module, None, address - image.base)
        return SymbolLocation(module, before[1], address - before[0])


class DriverTarget(ImageTarget):
    """A target in which the driver and the kernel are loaded."""

    crash: Optional[Bugcheck] = None

    @property
    def bugcheck(self) -> Optional[Bugcheck]:
        return self.crash


class Driver:
    """A driver in the making: functions by name, then a target, flows and stacks."""

    def __init__(self) -> None:
        self.kernel = self._image("ntoskrnl.exe", KERNEL)
        self.kernel.function("KiReturn", Code().ret())
        for name in (*IMPORTS, *CALLERS):
            self.kernel.function(name, body().call("KiReturn").nop(8).epilogue())
        self.image = self._image("bad.sys", DRIVER)
        bound = [Import(name, KERNEL + self.kernel.rva_of(name)) for name in IMPORTS]
        self.image.add_imports([ImportedModule("ntoskrnl.exe", bound)], section=".rdata")
        self.bugcheck: Optional[Bugcheck] = None
        self._target: Optional[DriverTarget] = None
        self.words: Dict[int, int] = {}
        #: Virtual addresses of pages that the dump does not hold.
        self.missing: List[int] = []

    @staticmethod
    def _image(name: str, base: int) -> Image:
        image = Image(name, base)
        image.section(".text", TEXT, size=0x8000)
        image.section(".rdata", RDATA)
        image.section(".pdata", PDATA)
        return image

    def function(self, name: str, code: Code) -> None:
        """A function: its prologue, this code, its epilogue."""
        self.image.function(name, code)

    def address(self, name: str, offset: int = 0) -> int:
        """The virtual address of a function of the driver or the kernel."""
        for image in (self.image, self.kernel):
            if any(each.name == name for each in image.functions):
                return image.base + image.rva_of(name) + offset
        raise KeyError(name)

    @property
    def target(self) -> DriverTarget:
        if self._target is None:
            target = self._target = DriverTarget([self.kernel, self.image], self.words)
            target._loaded = [each._replace(name=_NAMES[each.name]) for each in target._loaded]
            target.symbols = DriverSymbols({"nt": self.kernel, "bad": self.image}, target.modules)
            target.crash = self.bugcheck
            for address in self.missing:
                target.images_and_words.pages.pop(address, None)
        return self._target

    def flow(self, name: str) -> Flow:
        flows = StackReader(self.target).flows
        assert flows is not None
        return flows.flow(self.address(name))

    def levels_at(self, function: str, routine: str) -> List[str]:
        """What the flow says of the level at the calls of a routine, in words, each of them once."""
        flow = self.flow(function)
        calls = [call for call in flow.calls.values() if _calls(call, routine)]
        assert calls, f"{function} does not call {routine}, or that is not reached"
        return sorted({str(way.level) for call in calls for way in flow.ways(call.address)})

    def stack(self, functions: Sequence[str], calls: Mapping[str, str]) -> Dict[str, int]:
        """The innermost function's registers: functions outermost first, each behind its call of a routine.

        `calls` has the routine that each function of the driver calls; those of the kernel call what follows.
        """
        stack = CallStack(TOP)
        caller: Optional[int] = None
        for name in functions:
            image = self.image if any(each.name == name for each in self.image.functions) else self.kernel
            function = next(each for each in image.functions if each.name == name)
            stack.call(function, caller)
            caller = self.return_into(name, calls.get(name, ""))
        self.words.update(stack.words)
        assert caller is not None
        return {"rip": caller, "rsp": stack.pointer}

    def return_into(self, name: str, routine: str) -> int:
        """The return address of a function's first call of a routine; behind its `call rax` in the kernel."""
        if any(each.name == name for each in self.kernel.functions):
            return self.address(name, 4 + 5)
        call = next(call for call in self.flow(name).calls.values() if _calls(call, routine))
        self._target = None
        return call.return_address


def _calls(call: Call, routine: str) -> bool:
    return call.routine is not None and routine in call.routine.names


def body() -> Code:
    """The begin of a function with a frame of FRAME bytes."""
    return Code().prologue(Alloc(FRAME))


def raised_by_macro() -> Code:
    """KeRaiseIrql(DISPATCH_LEVEL, &old) as wdm.h makes it: the level in cl, the old one stored from al."""
    return body().hex("b102").call_through("__imp_KfRaiseIrql").hex("88442420")
