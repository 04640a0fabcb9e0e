"""KDDEBUGGER_DATA64: where the kernel's globals lie, and the few offsets that a debugger needs without symbols.

The kernel keeps the block at nt!KdDebuggerDataBlock; dumps give its address, triage dumps a copy.
Layout: KDDEBUGGER_DATA64 in wdbgexts.h of the Windows SDK (it only ever grew at its end).
"""

from __future__ import annotations

from struct import Struct, unpack_from

from dumpkit.errors import DumpFormatError, DumpkitError
from dumpkit.functions import cache
from dumpkit.memory import U64_MASK, AddressSpace
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple

    from dumpkit.target import Target

#: The header alone: a LIST_ENTRY64, the tag and the size.
HEADER_SIZE = 0x18
#: No Windows has a larger block than this.
LARGEST_SIZE = 0x1000

_TAG = b"KDBG"
_TAG_OFFSET = 0x10
_SIZE_OFFSET = 0x14

#: (offset, size of each member in bytes, names): members that follow one another.
_LAYOUT: Tuple[Tuple[int, int, str], ...] = (
    (0x18, 8, "KernBase BreakpointWithStatus SavedContext"),
    (0x30, 2, "ThCallbackStack NextCallback FramePointer PaeEnabled"),
    (
        0x38,
        8,
        "KiCallUserMode KeUserCallbackDispatcher PsLoadedModuleList PsActiveProcessHead PspCidTable"
        " ExpSystemResourcesList ExpPagedPoolDescriptor ExpNumberOfPagedPools KeTimeIncrement"
        " KeBugCheckCallbackListHead KiBugcheckData IopErrorLogListHead ObpRootDirectoryObject ObpTypeObjectType"
        " MmSystemCacheStart MmSystemCacheEnd MmSystemCacheWs MmPfnDatabase MmSystemPtesStart MmSystemPtesEnd"
        " MmSubsectionBase MmNumberOfPagingFiles MmLowestPhysicalPage MmHighestPhysicalPage MmNumberOfPhysicalPages"
        " MmMaximumNonPagedPoolInBytes MmNonPagedSystemStart MmNonPagedPoolStart MmNonPagedPoolEnd MmPagedPoolStart"
        " MmPagedPoolEnd MmPagedPoolInformation MmPageSize MmSizeOfPagedPoolInBytes MmTotalCommitLimit"
        " MmTotalCommittedPages MmSharedCommit MmDriverCommit MmProcessCommit MmPagedPoolCommit MmExtendedCommit"
        " MmZeroedPageListHead MmFreePageListHead MmStandbyPageListHead MmModifiedPageListHead"
        " MmModifiedNoWritePageListHead MmAvailablePages MmResidentAvailablePages PoolTrackTable"
        " NonPagedPoolDescriptor MmHighestUserAddress MmSystemRangeStart MmUserProbeAddress KdPrintCircularBuffer"
        " KdPrintCircularBufferEnd KdPrintWritePointer KdPrintRolloverCount MmLoadedUserImageList NtBuildLab"
        " KiNormalSystemCall KiProcessorBlock MmUnloadedDrivers MmLastUnloadedDriver MmTriageActionTaken"
        " MmSpecialPoolTag KernelVerifier MmVerifierData MmAllocatedNonPagedPool MmPeakCommitment"
        " MmTotalCommitLimitMaximum CmNtCSDVersion MmPhysicalMemoryBlock MmSessionBase MmSessionSize"
        " MmSystemParentTablePage MmVirtualTranslationBase",
    ),
    (
        0x298,
        2,
        "OffsetKThreadNextProcessor OffsetKThreadTeb OffsetKThreadKernelStack OffsetKThreadInitialStack"
        " OffsetKThreadApcProcess OffsetKThreadState OffsetKThreadBStore OffsetKThreadBStoreLimit SizeEProcess"
        " OffsetEprocessPeb OffsetEprocessParentCID OffsetEprocessDirectoryTableBase SizePrcb OffsetPrcbDpcRoutine"
        " OffsetPrcbCurrentThread OffsetPrcbMhz OffsetPrcbCpuType OffsetPrcbVendorString OffsetPrcbProcStateContext"
        " OffsetPrcbNumber SizeEThread",
    ),
    (0x2C2, 1, "L1tfHighPhysicalBitIndex L1tfSwizzleBitIndex"),
    (0x2C8, 8, "KdPrintCircularBufferPtr KdPrintBufferSize KeLoaderBlock"),
    (
        0x2E0,
        2,
        "SizePcr OffsetPcrSelfPcr OffsetPcrCurrentPrcb OffsetPcrContainedPrcb OffsetPcrInitialBStore"
        " OffsetPcrBStoreLimit OffsetPcrInitialStack OffsetPcrStackLimit OffsetPrcbPcrPage"
        " OffsetPrcbProcStateSpecialReg GdtR0Code GdtR0Data GdtR0Pcr GdtR3Code GdtR3Data GdtR3Teb GdtLdt GdtTss"
        " Gdt64R3CmCode Gdt64R3CmTeb",
    ),
    (
        0x308,
        8,
        "IopNumTriageDumpDataBlocks IopTriageDumpDataBlocks VfCrashDataBlock MmBadPagesDetected"
        " MmZeroedPageSingleBitErrorsDetected EtwpDebuggerData",
    ),
    (0x338, 2, "OffsetPrcbContext OffsetPrcbMaxBreakpoints OffsetPrcbMaxWatchpoints"),
    (0x340, 4, "OffsetKThreadStackLimit OffsetKThreadStackBase OffsetKThreadQueueListEntry OffsetEThreadIrpList"),
    (
        0x350,
        2,
        "OffsetPrcbIdleThread OffsetPrcbNormalDpcState OffsetPrcbDpcStack OffsetPrcbIsrStack SizeKDPC_STACK_FRAME"
        " OffsetKPriQueueThreadListHead OffsetKThreadWaitReason",
    ),
    (0x360, 8, "PteBase RetpolineStubFunctionTable"),
    (0x370, 4, "RetpolineStubFunctionTableSize RetpolineStubOffset RetpolineStubSize"),
    (0x37C, 2, "OffsetEProcessMmHotPatchContext"),
    (0x380, 4, "OffsetKThreadShadowStackLimit OffsetKThreadShadowStackBase"),
    (0x388, 8, "ShadowStackEnabled PointerAuthMask"),
    (0x398, 2, "OffsetPrcbExceptionStack"),
    (0x3A0, 8, "PointerIgnoreBits"),
)

_KEYS = ("KiWaitNever", "KiWaitAlways")
_WORDS = {1: Struct("<B"), 2: Struct("<H"), 4: Struct("<I"), 8: Struct("<Q")}


@cache
def members() -> Dict[str, Tuple[int, int]]:
    """Member -> (offset in the block, size in bytes)."""
    places = {}
    for offset, size, names in _LAYOUT:
        for name in names.split():
            places[name] = (offset, size)
            offset += size
    return places


class DebuggerData:
    """A decoded KDDEBUGGER_DATA64.

    `data["KiProcessorBlock"]` is the member of that name in wdbgexts.h; None where this Windows is too
    old to have it. Addresses are virtual; `Offset…` members are offsets in a PCR, PRCB, KTHREAD or
    EPROCESS, and 0 where this architecture has no such field.
    """

    def __init__(self, block: bytes) -> None:
        """Raises DumpFormatError where `block` is not a whole KDDEBUGGER_DATA64."""
        if len(block) < HEADER_SIZE:
            raise DumpFormatError(f"debugger data block of {len(block)} bytes, at least {HEADER_SIZE} expected")
        if block[_TAG_OFFSET:_SIZE_OFFSET] != _TAG:
            raise DumpFormatError("the debugger data block has no 'KDBG' tag: it is encoded or damaged")
        size: int = unpack_from("<I", block, _SIZE_OFFSET)[0]
        if not HEADER_SIZE <= size <= LARGEST_SIZE:
            raise DumpFormatError(f"the debugger data block gives itself an impossible size of 0x{size:x} bytes")
        #: The bytes of the block: its own size, or less where its end is missing.
        self.block = block[:size]
        #: The size that the block gives itself.
        self.size = size

    def __getitem__(self, name: str) -> Optional[int]:
        offset, size = members()[name]
        if offset + size > len(self.block):
            return None
        value: int = _WORDS[size].unpack_from(self.block, offset)[0]
        return value

    def __iter__(self) -> Iterator[str]:
        """The names of the members that this block has."""
        return (name for name, (offset, size) in members().items() if offset + size <= len(self.block))

    def require(self, name: str) -> int:
        """A member that must be there and not be 0. Raises DumpkitError, naming it."""
        value = self[name]
        if not value:
            raise DumpkitError(f"the debugger data block does not give {name}")
        return value


class EncodedError(DumpFormatError):
    """A debugger data block without its tag: encoded, as a running kernel keeps it, or damaged."""


class BlockKeys(NamedTuple):
    """What the kernel mixes into the block while it runs."""

    #: Values of nt!KiWaitNever and nt!KiWaitAlways.
    never: int
    always: int
    #: Virtual address of nt!KdpDataBlockEncoded.
    place: int

    def decode(self, block: bytes) -> bytes:
        """The plain block; what is over behind its last 8 bytes is left out.

        Each 8 bytes: exclusive-ored with KiWaitNever, rotated left by its low byte, exclusive-ored with the address
        of KdpDataBlockEncoded, turned round, exclusive-ored with KiWaitAlways (public: the Volatility project's
        notes on Windows 8).
        """
        shift = self.never & 0x3F
        plain = bytearray()
        for (word,) in _WORDS[8].iter_unpack(block[: len(block) & ~7]):
            mixed = word ^ self.never
            mixed = (mixed << shift | mixed >> (64 - shift)) & U64_MASK
            plain += (mixed ^ self.place).to_bytes(8, "big")
        keys = self.always.to_bytes(8, "little") * (len(plain) // 8)
        return bytes([byte ^ key for byte, key in zip(plain, keys)])


def read_debugger_data(memory: AddressSpace, address: int, keys: Optional[BlockKeys] = None) -> DebuggerData:
    """The block at a virtual address (nt!KdDebuggerDataBlock), decoded where it needs that and `keys` are given.

    Raises DumpkitError: MemoryReadError where its memory is missing, EncodedError where it is encoded, DumpFormatError
    where it is damaged.
    """
    head = memory.read(address, HEADER_SIZE)
    is_plain = head[_TAG_OFFSET:_SIZE_OFFSET] == _TAG
    if not is_plain:
        plain = keys.decode(head) if keys is not None else b""
        if keys is None or plain[_TAG_OFFSET:_SIZE_OFFSET] != _TAG:
            raise EncodedError("the debugger data block has no 'KDBG' tag: it is encoded or damaged")
        head = plain
    wanted: int = unpack_from("<I", head, _SIZE_OFFSET)[0]
    # Encoded words are whole ones.
    size = -(-min(max(wanted, HEADER_SIZE), LARGEST_SIZE) // 8) * 8
    block = memory.read_prefix(address, size)
    return DebuggerData(block if is_plain or keys is None else keys.decode(block))


def block_keys(target: Target) -> BlockKeys:
    """The keys of a target's block. Raises SymbolError where their symbols are missing, MemoryReadError."""
    place = target.symbols.address_of("nt!KdpDataBlockEncoded")
    never, always = (target.memory.u64(target.symbols.address_of(f"nt!{name}")) for name in _KEYS)
    return BlockKeys(never, always, place)
