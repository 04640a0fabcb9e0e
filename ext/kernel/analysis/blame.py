"""Whom to blame: the first frame from the fault that is not plumbing, or what the bugcheck's arguments name."""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.analysis.failing_context import FailingContext
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.kernel.stack import Frame
from dumpkit.kernel.x64_walk import SCAN
from dumpkit.module import Module, UnloadedModule
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple

    from dumpkit.kernel.io.driver import Driver

#: Modules that run on others' behalf: what fails in them was usually handed to them by their caller, or by the driver
#: that they call. Lower-case debugger names. They are blamed only where the stack has nobody else.
PLUMBING = frozenset(
    # The kernel and its hardware layer; the file system and the filter manager under every file operation.
    "nt hal ntfs fltmgr"
    # Frameworks and port drivers, which are called by and call back into the drivers that they were made for.
    " wdf01000 wdfldr ndis netio storport classpnp scsiport"
    # What looks after others: Driver Verifier, the graphics watchdog's log, and the dispatcher of win32k's calls.
    " verifierext vrfcore watchdog win32k".split()
)
#: Of these the kernel's own: blamed last of all.
_KERNEL = frozenset(("nt", "hal"))
#: What kernels are called where they are built.
_KERNELS = frozenset(("ntoskrnl", "ntkrnlmp", "ntkrnlpa", "ntkrpamp", "ntkrla57"))

#: The functions that stand between a bugcheck and its cause (public names of ntoskrnl).
_REPORTERS = frozenset(
    "KeBugCheckEx KeBugCheck KeBugCheck2 KiBugCheckDispatch KiFastFailDispatch KiBugCheckDebugBreak".split()
)

#: Functions that compilers and their libraries put into every driver, without the underscores before them: what fails
#: in one was handed to it by its caller.
_HELPERS = frozenset(
    "report_gsfailure report_rangecheckfailure report_securityfailure security_check_cookie GSHandlerCheck"
    " GSHandlerCheckCommon GSHandlerCheck_SEH C_specific_handler guard_check_icall_nop guard_dispatch_icall_nop"
    " memcpy memmove memset memcmp strlen wcslen strcpy wcscpy strncpy wcsncpy strcat wcscat strcmp wcscmp".split()
)

INCONCLUSIVE = "ANALYSIS_INCONCLUSIVE"
#: Bytes of a module's path.
_LONGEST_NAME = 0x400


class Culprit(Record):
    """Who is blamed."""

    #: "fileinfo!FIPfFileFSOpPostCreate" or "fileinfo"; INCONCLUSIVE where nobody can be blamed.
    symbol: str
    #: Bytes behind the symbol; None where an image as a whole is blamed.
    offset: Optional[int]
    #: The debugger's name of the module; None where nobody can be blamed.
    module: Optional[str]
    #: Its file's name.
    image: Optional[str]
    #: Virtual address of the image.
    base: Optional[int]
    #: Virtual address of the instruction or routine, where there is one.
    address: Optional[int]
    #: Index of the frame in the failing stack; None where an argument decided.
    frame: Optional[int]

    @property
    def bucket_symbol(self) -> str:
        """`module!function` as failure buckets have it."""
        if self.module is None:
            return INCONCLUSIVE
        return self.symbol if "!" in self.symbol else f"{self.module}!unknown_function"


NOBODY = Culprit(INCONCLUSIVE, None, None, None, None, None, None)


class Blame:
    """Looks for the culprit of one crash."""

    def __init__(self, target: Target, bugcheck: Bugcheck, parameters: Sequence[int], evidence: Evidence) -> None:
        self._target = target
        self._bugcheck = bugcheck
        self._parameters = parameters
        self._evidence = evidence

    def find(self, failing: Optional[FailingContext]) -> Culprit:
        """The culprit; NOBODY, with the reason among the evidence, where none can be blamed."""
        for way, argument in self._rules():
            try:
                culprit = self._by_argument(way, argument)
            except DumpkitError as error:
                self._evidence.lack("blamed_argument", f"{way} of argument {argument}: {error}")
                continue
            if culprit is not None:
                return culprit
        if self._bugcheck.rule("context") == [["none"]]:
            self._evidence.lack("culprit", "what caused this bugcheck is not on the stack: who found it out is")
            return NOBODY
        if failing is None:
            self._evidence.lack("culprit", "the target holds no registers, hence no stack, of the crash")
            return NOBODY
        return self._by_stack(failing)

    def _rules(self) -> Iterator[Tuple[str, Optional[int]]]:
        for words in self._bugcheck.rule("blame"):
            yield words[0], int(words[1]) if len(words) > 1 else None

    def running(self, routine: int, where: str) -> Optional[Culprit]:
        """A routine that is known to have run, at a virtual address; None where no driver's own is there."""
        module = self._target.module_at(routine)
        if module is None or module.name.lower() in PLUMBING:
            return None
        self._evidence.note("culprit", where)
        return self._at(module, routine, None)

    # --- By the arguments ----------------------------------------------------

    def _by_argument(self, way: str, number: Optional[int]) -> Optional[Culprit]:
        if number is None:
            return None
        value = self._parameters[number - 1]
        where = f"argument {number} ({value:016x})"
        if way == "module":
            module = self._target.module_at(value)
            if module is None:
                raise DumpkitError("it lies in no loaded module")
            return self._image(module, f"{where} lies in its image")
        if way in ("routine", "worker"):
            return self._routine(value, where, way == "worker")
        if way == "device":
            return self._device(value, where)
        if way == "irp":
            return self._irp(value, where)
        return self._named(value, where)

    def _routine(self, address: int, where: str, is_worker: bool) -> Culprit:
        found = address
        if is_worker:
            from dumpkit.kernel.io.work_item import work_routine

            found = work_routine(self._target, address, self._parameters[self._worker_parameter - 1])
        module = self._target.module_at(found)
        if module is None:
            raise DumpkitError("it lies in no loaded module")
        of = "is the address of its routine" if found == address else "calls its work item's routine"
        self._evidence.note("culprit", f"{where} {of}")
        return self._at(module, found, None)

    @property
    def _worker_parameter(self) -> int:
        """The number of the argument that is the parameter of a worker routine."""
        return next(int(words[2]) for words in self._bugcheck.rule("blame") if words[0] == "worker")

    def _device(self, address: int, where: str) -> Optional[Culprit]:
        from dumpkit.kernel.io.device import Device

        device = Device(self._target, address)
        if not device.is_device:
            raise DumpkitError(f"{address:016x} is no device object")
        return self._driver_of(device.driver, f"{where} is a device of")

    def _irp(self, address: int, where: str) -> Optional[Culprit]:
        from dumpkit.kernel.io.irp import Irp

        irp = Irp(self._target, address)
        if not irp.is_irp:
            raise DumpkitError(f"{address:016x} is no IRP")
        location = irp.current_location
        driver = location.driver if location is not None else None
        if driver is None:
            raise DumpkitError("no driver has the IRP")
        return self._driver_of(driver, f"{where} is an IRP that is with")

    def _driver_of(self, driver: Driver, where: str) -> Culprit:
        try:
            name = driver.short_name
        except MemoryReadError:
            # A minidump may have the object without its name.
            name = f"at {driver.address:016x}"
        module = self._target.module_at(driver.start)
        if module is None:
            raise DumpkitError(f"the driver's image at {driver.start:016x} is no loaded module")
        return self._image(module, f"{where} the driver {name}")

    def _named(self, address: int, where: str) -> Optional[Culprit]:
        """The module that a UNICODE_STRING (ntdef.h) names, or UTF-16 text that ends with a zero."""
        memory = self._target.memory
        length = memory.u16(address) & ~1
        data = memory.read_optional(memory.u64_optional(address + 8) or 0, min(length, _LONGEST_NAME))
        texts = [data or b"", memory.read_prefix(address, _LONGEST_NAME)]
        names = [text.decode("utf-16-le", "replace").partition("\0")[0].rpartition("\\")[2] for text in texts]
        for name in names:
            module = self._target.module_called(name) if name else None
            if module is not None:
                return self._image(module, f"{where} is its name")
        raise DumpkitError(f"it names {names[0]!r}, which is no loaded module")

    def _image(self, module: Module, where: str) -> Culprit:
        self._evidence.note("culprit", where)
        return Culprit(module.name, None, module.name, self._file(module), module.base, None, None)

    # --- By the stack --------------------------------------------------------

    def _by_stack(self, failing: FailingContext) -> Culprit:
        first = failing.fault
        frames = failing.frames
        unloaded = any(way == "unloaded" for way, _ in self._rules())
        owners = [self._owner(frame.instruction_pointer) for frame in frames]
        end = self._end(frames, first)
        helper: Optional[int] = None
        for index in range(first, end):
            owner = owners[index]
            if isinstance(owner, UnloadedModule):
                return self._unloaded(owner, frames, index, unloaded)
            if owner is None or owner.name.lower() in PLUMBING:
                continue
            if self._is_helper(frames[index]):
                helper = helper if helper is not None else index
                continue
            return self._frame(owner, frames, index, first)
        if helper is not None:
            owner = owners[helper]
            assert isinstance(owner, Module)
            return self._frame(owner, frames, helper, first)
        if end < len(frames):
            self._evidence.note(
                "interrupted", f"frame {end:x} and those behind it did nothing: an interrupt came there"
            )
        for kernel in (False, True):
            for index in range(first, end):
                owner = owners[index]
                if not isinstance(owner, Module) or (owner.name.lower() in _KERNEL) is not kernel:
                    continue
                if kernel and not failing.is_fault and not self._is_conclusive(frames, index):
                    continue
                self._evidence.note(
                    "culprit", f"{_found(frames[index], index)}; no frame but those of Windows' own plumbing is there"
                )
                return self._at(owner, frames[index].instruction_pointer, index)
        self._evidence.lack("culprit", "no frame of the stack can be told to have caused the bugcheck")
        return NOBODY

    def _end(self, frames: Sequence[Frame], first: int) -> int:
        """The index of the first frame that an interrupt came to: what that interrupted is no cause of what it did.

        All frames count where the bugcheck is about what was interrupted.
        """
        if any(way == "interrupted" for way, _ in self._rules()):
            return len(frames)
        from dumpkit.kernel.irql_roots import is_interrupt

        for index in range(first + 1, len(frames)):
            if frames[index].is_interrupted:
                place = self._target.symbols.nearest(frames[index - 1].instruction_pointer)
                if place is not None and place.module.name == "nt" and is_interrupt(place.name or ""):
                    return index
        return len(frames)

    def _is_helper(self, frame: Frame) -> bool:
        place = self._target.symbols.nearest(frame.instruction_pointer)
        return place is not None and (place.name or "").lstrip("_") in _HELPERS

    def _owner(self, address: int) -> Module | UnloadedModule | None:
        module = self._target.module_at(address)
        if module is not None:
            return module
        for gone in self._target.unloaded_modules:
            if gone.base <= address < gone.end:
                return gone
        return None

    def _is_conclusive(self, frames: Sequence[Frame], index: int) -> bool:
        """Whether a frame of the kernel may be blamed for a bugcheck that it called: one that reports it may not."""
        if frames[index].found_by == SCAN:
            return False
        place = self._target.symbols.nearest(frames[index].instruction_pointer)
        return place is not None and place.name is not None and place.name not in _REPORTERS

    def _frame(self, owner: Module, frames: Sequence[Frame], index: int, first: int) -> Culprit:
        skipped: List[str] = []
        for number, frame in enumerate(frames[first:index], first):
            module = self._target.module_at(frame.instruction_pointer)
            if module is not None and module.name not in skipped:
                skipped.append(module.name)
            if module is None and number > first:
                # The first one may have been called in error; this one has called.
                place = f"{frame.instruction_pointer:016x} (frame {number:x})"
                self._evidence.lack("foreign_code", f"{place} is in no module; its caller is blamed")
        behind = f"; passed over as plumbing: {', '.join(skipped)}" if skipped else ""
        self._evidence.note("culprit", f"{_found(frames[index], index)}{behind}")
        return self._at(owner, frames[index].instruction_pointer, index)

    def _unloaded(self, gone: UnloadedModule, frames: Sequence[Frame], index: int, expected: bool) -> Culprit:
        address = frames[index].instruction_pointer
        why = ", which this bugcheck is about" if expected else ""
        self._evidence.note("culprit", f"{_found(frames[index], index)}: in an image that was unloaded{why}")
        symbol = f"<Unloaded_{gone.name}>"
        image = gone.name if "." in gone.name else f"{gone.name}.sys"
        module = f"Unloaded_{gone.name.rpartition('.')[0] or gone.name}"
        return Culprit(symbol, address - gone.base, module, image, gone.base, address, index)

    def _at(self, module: Module, address: int, frame: Optional[int]) -> Culprit:
        place = self._target.symbols.nearest(address)
        symbol, offset = module.name, address - module.base
        if place is not None and place.name is not None:
            symbol, offset = f"{module.name}!{place.name}", place.displacement
        return Culprit(symbol, offset, module.name, self._file(module), module.base, address, frame)

    def _file(self, module: Module) -> str:
        """The name of a module's file: the kernel's as it was built, by its PDB, since every kernel is installed as
        ntoskrnl.exe."""
        if module.name.lower() == "nt":
            file = self._target.symbols.file(module)
            names = (getattr(file, "pdb_name", ""), self._target.symbols.symbol_file(module) or "")
            for name in names:
                stem, _, ending = name.replace("\\", "/").rpartition("/")[2].lower().rpartition(".")
                if ending == "pdb" and stem in _KERNELS:
                    return f"{stem}.exe"
        return module.image_name


def _found(frame: Frame, index: int) -> str:
    how = {"context": "the registers themselves", SCAN: "a scan, which may err"}.get(frame.found_by, frame.found_by)
    return f"frame {index:x} of the failing stack ({how})"
