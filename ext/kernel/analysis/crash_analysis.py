"""The analysis of a crash: every statement that `analyze` makes, with what it rests on."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.blame import PLUMBING, Blame, Culprit
from dumpkit.kernel.analysis.bucket import failure_bucket, failure_hash
from dumpkit.kernel.analysis.circumstances import BlackBox, Regions, black_boxes, process_name, virtual_machine
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.analysis.failing_context import FailingContext, FailingContextFinder
from dumpkit.kernel.analysis.faulting_access import (
    FaultingAccess,
    access_of_arguments,
    access_of_record,
    is_in_paged_code,
)
from dumpkit.kernel.analysis.key_values import SystemKeys
from dumpkit.kernel.analysis.stack_overflow import exhausted_stack
from dumpkit.kernel.analysis.subjects import ProcessSubject, RequestSubject, Subjects, ThreadSubject
from dumpkit.kernel.bugchecks import Bugcheck, describe
from dumpkit.kernel.exception_record import fast_fail_name
from dumpkit.record import Record
from dumpkit.target import ExceptionRecord, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Sequence, Tuple

    from dumpkit.kernel.analysis.dpc_watchdog import DpcWatchdog
    from dumpkit.kernel.analysis.hardware_error import HardwareError
    from dumpkit.kernel.analysis.plug_and_play import PlugAndPlay
    from dumpkit.kernel.pool.allocation import PoolAllocation

    Allocations = Tuple[Optional[PoolAllocation], Optional[PoolAllocation]]

#: Where kernel addresses begin.
_KERNEL_SPACE = 1 << 47


class PoolAddress(Record):
    """An argument that is an address in a pool: its label in WinDbg's output, and the region that it lies in."""

    label: str
    address: int
    region: str


class CrashAnalysis(Record):
    """What was found out."""

    bugcheck: Bugcheck
    #: As the dump has it: a triage dump's carries a flag.
    code: int
    parameters: Tuple[int, ...]
    failing: Optional[FailingContext]
    #: The limit of the stack that a double fault came on, where that was full; a virtual address.
    exhausted_stack: Optional[int]
    #: Virtual address of the exception record, and the record.
    exception: Optional[Tuple[int, ExceptionRecord]]
    access: Optional[FaultingAccess]
    #: Whether that was the instruction itself, in pageable code.
    is_paged_code: bool
    #: What lies at the address that was touched, as `pool` calls it; "" where that is not known.
    region: str
    pool: Optional[PoolAddress]
    #: The pool block at that address, or at the one that was touched; None where that is in no pool.
    allocation: Optional[PoolAllocation]
    #: The block before the one at an argument's address.
    allocation_before: Optional[PoolAllocation]
    #: Virtual addresses of the device and driver objects that the arguments lead to.
    device: Optional[int]
    driver: Optional[int]
    #: The thread, request and process that the bugcheck is about.
    thread: Optional[ThreadSubject]
    request: Optional[RequestSubject]
    subject: Optional[ProcessSubject]
    #: A text that an argument points to, which says more.
    message: Optional[str]
    #: What the hardware reported, where the bugcheck is about that.
    hardware: Optional[HardwareError]
    #: What the watchdog of DPCs saw, where the bugcheck is its.
    watchdog: Optional[DpcWatchdog]
    #: The devices that the bugcheck is about, and the power requests under way.
    plug_and_play: Optional[PlugAndPlay]
    #: The NTSTATUS of the exception or of the argument that holds one.
    status: Optional[int]
    culprit: Culprit
    bucket: str
    bucket_hash: str
    process: Optional[str]
    virtual_machine: Optional[str]
    black_boxes: Tuple[BlackBox, ...]
    dump_attributes: Optional[int]
    version: Optional[str]
    branch: Optional[str]
    #: Keys and values but those of the debugger's own costs.
    keys: Dict[str, str]
    evidence: Dict[str, str]
    unknown: Dict[str, str]


class CrashAnalyzer:
    """Analyses one target."""

    def __init__(self, target: Target, code: int, parameters: Sequence[int]) -> None:
        self._target = target
        self._code = code
        self._parameters = tuple(parameters)
        self._bugcheck = describe(code, parameters)
        self._evidence = Evidence()
        self._regions = Regions(target, self._evidence)

    def analyze(self) -> CrashAnalysis:
        """All that can be found out; what cannot is said in `unknown`."""
        target, bugcheck, evidence = self._target, self._bugcheck, self._evidence
        finder = FailingContextFinder(target, bugcheck, self._parameters, evidence)
        failing = finder.find()
        if failing is None:
            evidence.lack("failing_context", evidence.unknown.get("crash_context", "the target holds no registers"))
        access = access_of_arguments(bugcheck, self._parameters, evidence)
        if access is None and finder.record is not None:
            access = access_of_record(finder.record[1], evidence)
        process = process_name(target, evidence)
        blame = Blame(target, bugcheck, self._parameters, evidence)
        culprit = blame.find(failing)
        watchdog = self._watchdog()
        if watchdog is not None and watchdog.routine is not None and (culprit.module or "nt") in PLUMBING:
            culprit = blame.running(watchdog.routine, "the DPC that ran on the processor") or culprit
        paged_code = access is not None and is_in_paged_code(target, access, evidence)
        subjects = Subjects(target, bugcheck, self._parameters, evidence)
        subject = subjects.process()
        concerned = subject.name if subject is not None else process
        bucket = failure_bucket(bugcheck, self._parameters, culprit, access, concerned, paged_code)
        hardware = self._hardware()
        if hardware is not None and hardware.culprit is not None:
            culprit = hardware.culprit
            bucket = hardware.bucket(bugcheck.code, self._parameters[0]) or bucket
        bucket_hash = failure_hash(bucket)
        system = SystemKeys(target, evidence)
        pool = self._pool_address()
        keys = {**system.values, **self._own_keys(access), "Failure.Bucket": bucket, "Failure.Hash": bucket_hash}
        exhausted = exhausted_stack(target, bugcheck, failing, evidence)
        region = self._regions.name(access.address) if access is not None else ""
        allocation, allocation_before = self._allocations(access, pool)
        return CrashAnalysis(
            bugcheck=bugcheck,
            code=self._code,
            parameters=self._parameters,
            failing=failing,
            exhausted_stack=exhausted,
            exception=finder.record,
            access=access,
            is_paged_code=paged_code,
            region=region,
            pool=pool,
            allocation=allocation,
            allocation_before=allocation_before,
            device=subjects.argument("device") or None,
            driver=subjects.driver_of_device(),
            thread=subjects.thread(),
            request=subjects.request(),
            subject=subject,
            message=subjects.message(),
            hardware=hardware,
            watchdog=watchdog,
            plug_and_play=self._plug_and_play(),
            status=self._status(finder.record[1] if finder.record is not None else None),
            culprit=culprit,
            bucket=bucket,
            bucket_hash=bucket_hash,
            process=process,
            virtual_machine=virtual_machine(target, system.hypervisor, evidence),
            black_boxes=black_boxes(target),
            dump_attributes=target.dump_attributes,
            version=system.version,
            branch=system.branch,
            keys=keys,
            evidence=evidence.found,
            unknown=evidence.unknown,
        )

    def _own_keys(self, access: Optional[FaultingAccess]) -> Dict[str, str]:
        """Keys of the bugcheck, of the access, and of the dump's attributes."""
        bugcheck = self._bugcheck
        keys = {
            "Bugcheck.Code.KiBugCheckData": f"0x{self._recorded_code():x}",
            "Bugcheck.Code.LegacyAPI": f"0x{bugcheck.code:x}",
        }
        if access is not None and access.operation is not None:
            if access.source != "arguments":
                keys["AV.Fault"] = access.operation
            elif bugcheck.code == 0x50:
                keys["AV.Type"] = access.operation
        if bugcheck.code == 0x139:
            name = fast_fail_name(self._parameters[0])
            if name is not None:
                keys["FailFast.Name"] = name.replace("FAST_FAIL_", "")
            keys["FailFast.Type"] = str(self._parameters[0])
        if self._target.dump_attributes:
            keys["Dump.Attributes.AsUlong"] = f"{self._target.dump_attributes:x}"
        return keys

    def _recorded_code(self) -> int:
        """KiBugCheckData[0]; the header's code where the target does not lead there."""
        try:
            address = self._target.symbols.address_of("nt!KiBugCheckData")
            code = self._target.memory.u64(address)
        except DumpkitError as error:
            self._evidence.lack("KiBugCheckData", error)
            return self._bugcheck.code
        return code or self._bugcheck.code

    def _pool_address(self) -> Optional[PoolAddress]:
        for number, label in self._bugcheck.rule("pool"):
            address = self._parameters[int(number) - 1]
            return PoolAddress(label, address, self._regions.name(address))
        return None

    def _allocations(self, access: Optional[FaultingAccess], pool: Optional[PoolAddress]) -> Allocations:
        """The pool block that an address is in, and the one before it, whose owner may have written too far."""
        address = pool.address if pool is not None else access.address if access is not None else 0
        if address < _KERNEL_SPACE:
            return None, None
        if pool is None and not self._regions.name(address):
            return None, None
        from dumpkit.kernel.pool import find_allocation

        try:
            found = find_allocation(self._target, address)
            before = find_allocation(self._target, found.start - 1) if pool is not None and found.start else None
        except DumpkitError as error:
            self._evidence.lack("allocation", error)
            return None, None
        if found.block is not None:
            self._evidence.note("allocation", "; ".join(found.evidence) or f"pool of {address:016x}")
        return found, before if before is not None and before.block is not None else None

    def _hardware(self) -> Optional[HardwareError]:
        if not self._bugcheck.rule("errrec") and not self._bugcheck.rule("mca"):
            return None
        from dumpkit.kernel.analysis.hardware_error import hardware_error

        return hardware_error(self._target, self._bugcheck, self._parameters, self._evidence)

    def _plug_and_play(self) -> Optional[PlugAndPlay]:
        if not self._bugcheck.rule("pnp"):
            return None
        from dumpkit.kernel.analysis.plug_and_play import PlugAndPlayFinder

        return PlugAndPlayFinder(self._target, self._parameters, self._evidence).find(self._bugcheck)

    def _watchdog(self) -> Optional[DpcWatchdog]:
        if not self._bugcheck.rule("dpc"):
            return None
        from dumpkit.kernel.analysis.dpc_watchdog import dpc_watchdog

        return dpc_watchdog(self._target, self._bugcheck, self._parameters, self._evidence)

    def _status(self, record: Optional[ExceptionRecord]) -> Optional[int]:
        if record is not None:
            return record.code
        for (number,) in self._bugcheck.rule("status"):
            return self._parameters[int(number) - 1] & 0xFFFF_FFFF
        return None


def analyze_crash(target: Target, code: int, parameters: Sequence[int]) -> CrashAnalysis:
    """The analysis of a bugcheck with its four arguments on a target."""
    return CrashAnalyzer(target, code, parameters).analyze()
