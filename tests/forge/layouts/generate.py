"""Makes a layout table for the forge out of a volatility ISF table: only the structures that the forge writes.

    python -m tests.forge.layouts.generate TABLE.json.xz tests/forge/layouts/windows_22000.txt
    python -m tests.forge.layouts.generate TABLE.json.xz tests/forge/layouts/memory_22000.txt

The name before the underscore chooses the structures: "windows" those that every machine has, "memory" what the
memory manager and the pool have beside them (`layout.windows(build, "memory")`).

A table has a paragraph for each type: its kind, name and size, then `offset name type` for each member, several
in a line. Numbers are hexadecimal. A type is a short name of `tests.forge.layout.BASE_TYPES`, `*T` (pointer),
`T[n]` (array, n decimal), `T:position:length` (bits, decimal), or the name of another paragraph. A pointer to a
type that has no paragraph is a pointer to a declaration.
"""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path
from textwrap import wrap
from typing import Any, Dict, List, Optional

#: Types of which all members are kept.
_WHOLE = """
    _EPROCESS _ETHREAD _KWAIT_BLOCK _KTRAP_FRAME _KEXCEPTION_FRAME _CONTEXT _EXCEPTION_RECORD _LIST_ENTRY
    _UNICODE_STRING _LARGE_INTEGER _KSPECIAL_REGISTERS _KPROCESSOR_STATE _KSHARED_READY_QUEUE _KPCR _KEVENT _KMUTANT
    _KSEMAPHORE _KTIMER _KQUEUE _KDPC _KAPC _FAST_MUTEX _ERESOURCE _OWNER_ENTRY _EX_PUSH_LOCK _OBJECT_HEADER
    _OBJECT_HEADER_NAME_INFO _OBJECT_HEADER_CREATOR_INFO _OBJECT_HEADER_HANDLE_INFO _OBJECT_HEADER_QUOTA_INFO
    _OBJECT_HEADER_PROCESS_INFO _OBJECT_TYPE _OBJECT_DIRECTORY _OBJECT_DIRECTORY_ENTRY _IRP _IO_STACK_LOCATION
    _FILE_OBJECT _DRIVER_OBJECT _DRIVER_EXTENSION _DEVICE_OBJECT _DEVOBJ_EXTENSION _VPB _KLDR_DATA_TABLE_ENTRY
    _HANDLE_TABLE _HANDLE_TABLE_ENTRY _POOL_HEADER _POOL_TRACKER_BIG_PAGES _POOL_TRACKER_TABLE _HEAP_VS_CHUNK_HEADER
    _HEAP_VS_CHUNK_FREE_HEADER _HEAP_VS_SUBSEGMENT _HEAP_LFH_SUBSEGMENT _HEAP_PAGE_SEGMENT _HEAP_PAGE_RANGE_DESCRIPTOR
    _HEAP_LARGE_ALLOC_DATA _HEAP_VS_CHUNK_HEADER_SIZE _RTLP_HP_HEAP_GLOBALS _MMPTE _TRIAGE_9F_POWER
    _TRIAGE_POP_FX_DEVICE _MMPTE_HARDWARE _MMPTE_SOFTWARE _MMPTE_TRANSITION _MMPTE_PROTOTYPE _MMPTE_SUBSECTION
    _MMPTE_LIST _IO_CLIENT_EXTENSION _FAST_IO_DISPATCH _SECTION_OBJECT_POINTERS _CM_NAME_CONTROL_BLOCK _MDL
    _OBJECT_HEADER_AUDIT_INFO _OBJECT_HEADER_EXTENDED_INFO
"""
#: Type -> the members that are kept; none named: all.
WANTED: Dict[str, str] = dict.fromkeys(_WHOLE.split(), "")
WANTED.update(
    {
        "_KPRCB": """MxCsr LegacyNumber InterruptRequest IdleHalt CurrentThread NextThread IdleThread NestingLevel
            PrcbLock RspBase ProcessorState CpuType CpuID CpuStep CpuModel CpuStepping MHz MinorVersion MajorVersion
            BuildType CpuVendor Group GroupIndex GroupSetMember Number CoresPerPhysicalProcessor LockQueue
            InterruptCount KernelTime UserTime DpcTime InterruptTime DpcData DpcStack DpcRoutineActive
            NormalDpcState DeferredReadyListHead ReadySummary DispatcherReadyListHead SharedReadyQueue TimerTable
            VendorString FeatureBits UpdateSignature IsrStack Context ContextFlagsInit ExtendedState IsrStack
            DebuggerSavedIRQL DpcWatchdogCount DpcWatchdogPeriod KeSystemCalls KeContextSwitches
            AffinitizedSelectionMask InterruptObjectPool ParentNode SchedulerSubNode WaitListHead WaitLock
            BamFlags HyperPte
            DpcRequestSummary DpcTimeCount DpcTimeLimit ClockKeepAlive MmPageFaultCount PrcbPad00""",
        "_KUSER_SHARED_DATA": """TickCountLowDeprecated TickCountMultiplier InterruptTime SystemTime TimeZoneBias
            ImageNumberLow ImageNumberHigh NtSystemRoot MaxStackTraceDepth NtBuildNumber NtProductType
            ProductTypeIsValid NativeProcessorArchitecture NtMajorVersion NtMinorVersion ProcessorFeatures SuiteMask
            KdDebuggerEnabled NumberOfPhysicalPages SafeBootMode TickCount TickCountQuad ActiveProcessorCount
            ActiveGroupCount QpcBias BootId SystemExpirationDate""",
        "_MI_VISIBLE_STATE": "SystemVaType",
        "_SEGMENT_HEAP": """EnvHandle Signature GlobalFlags LargeAllocMetadata LargeReservedPages SegContexts VsContext
            LfhContext""",
        "_HEAP_VS_CONTEXT": """Lock LockType FreeChunkTree SubsegmentList TotalCommittedUnits
            FreeCommittedUnits""",
        "_HEAP_LFH_CONTEXT": "BackendCtx Config",
        "_EX_POOL_HEAP_MANAGER_STATE": "HeapManager NumberOfPools PoolNode SpecialHeaps",
        "_RTLP_HP_HEAP_MANAGER": "Globals AllocTracker VaMgr MetadataHeaps",
        "_HEAP_VAMGR_CTX": "VaSpace",
        "_HEAP_VAMGR_VASPACE": "BaseAddress VaRangeArray",
        "_EX_HEAP_POOL_NODE": "Heaps",
        "_MI_SYSTEM_INFORMATION": "Hardware",
        "_MI_HARDWARE_STATE": "InvalidPteMask",
        "_TOKEN": "TokenSource TokenId UserAndGroupCount UserAndGroups SessionId Privileges LogonSession",
        "_MMVAD_SHORT": "VadNode StartingVpn EndingVpn StartingVpnHigh EndingVpnHigh",
        "_MMVAD": "Core",
        "_CONTROL_AREA": "Segment ListHead NumberOfSectionReferences FilePointer",
        "_SHARED_CACHE_MAP": "FileSize FileObject",
        "_VACB": "BaseAddress SharedCacheMap",
        "_OBJECT_SYMBOLIC_LINK": "CreationTime LinkTarget",
        "_CMHIVE": "Hive HiveList FileFullPath FileUserName HiveRootPath",
        "_HHIVE": "Signature Storage BaseBlock",
        "_DUAL": "Length Map SmallDir",
        "_HBASE_BLOCK": "Signature RootCell Length",
        "_CM_KEY_BODY": "Type KeyControlBlock",
        "_CM_KEY_NODE": "Signature Flags LastWriteTime Parent SubKeyCounts SubKeyLists ValueList NameLength Name",
        "_CM_KEY_VALUE": "Signature NameLength DataLength Data Type Flags Name",
        "_CM_KEY_CONTROL_BLOCK": "RefCount TotalLevels ParentKcb NameBlock KeyHive KeyCell",
        "_DEVICE_NODE": "Sibling Child Parent LastChild PhysicalDeviceObject InstancePath ServiceName PendingIrp",
        "_HMAP_ENTRY": "BlockOffset PermanentBinAddress",
        "_DBGKD_GET_VERSION64": "",
        "_IMAGE_DOS_HEADER": "",
        "_IMAGE_NT_HEADERS64": "",
        "_LDR_DATA_TABLE_ENTRY": "InLoadOrderLinks DllBase EntryPoint SizeOfImage FullDllName BaseDllName Flags",
        "_PEB": "BeingDebugged ImageBaseAddress Ldr ProcessParameters",
    }
)
#: The structures of further tables; where a type is in both, this one's members count.
MORE: Dict[str, Dict[str, str]] = {
    "memory": {
        "_EX_HEAP_POOL_NODE": "Heaps Lookasides",
        "_RTL_DYNAMIC_LOOKASIDE": "",
        "_RTL_LOOKASIDE": "",
        "_SLIST_HEADER": "Alignment Region",
        "_MI_SYSTEM_INFORMATION": "Pools Vs",
        "_MI_POOL_STATE": """MaximumNonPagedPoolThreshold AllocatedNonPagedPool TotalPagedPoolQuota
            TotalNonPagedPoolQuota""",
        "_MI_VISIBLE_STATE": """PagedPoolInfo MaximumNonPagedPoolInPages SizeOfPagedPoolInPages NonPagedPoolCommit
            SmallNonPagedPtesCommit BootCommit MdlPagesAllocated ContiguousPagesAllocated SystemPageTableCommit
            ProcessCommit DriverCommit PagingLevels PfnDatabaseCommit SystemVaType""",
        "_MI_PARTITION": "Vp Commit",
        "_MI_PARTITION_COMMIT": "PeakCommitment TotalCommitLimitMaximum",
        "_MI_VISIBLE_PARTITION": """NumberOfPhysicalPages NumberOfPagingFiles PagingFile AvailablePages
            ResidentAvailablePages TotalCommittedPages ModifiedPageListHead ModifiedNoWritePageListHead
            TotalCommitLimit TotalPagesForPagingFile VadPhysicalPages ProcessLockedFilePages SharedCommit""",
        "_MMPAGING_FILE": """Size MaximumSize MinimumSize FreeSpace PeakUsage HighestPage PageFileName
            VirtualStorePagefile""",
    },
    "session": {
        **dict.fromkeys(
            """_TOKEN_SOURCE _LUID _SEP_TOKEN_PRIVILEGES _SID_AND_ATTRIBUTES _MMVAD_SHORT _MMVAD _MMVAD_FLAGS
            _MMVAD_FLAGS1 _SUBSECTION _MMPFNENTRY1 _MMPFNENTRY3 _KIDTENTRY64 _KINTERRUPT _EX_PARTITION _EX_WORK_QUEUE
            _KPRIQUEUE _WORK_QUEUE_ITEM _EWOW64PROCESS _RTL_USER_PROCESS_PARAMETERS _CURDIR _PEB_LDR_DATA
            _MM_DRIVER_VERIFIER_DATA
            _VF_SUSPECT_DRIVER_ENTRY _PNP_DEVNODE_STATE _RTL_AVL_TREE _RTL_BALANCED_NODE _CLIENT_ID _NT_TIB""".split(),
            "",
        ),
        "_EPARTITION": "ExPartition",
        "_MMPAGING_FILE": "Size MaximumSize MinimumSize FreeSpace PeakUsage PageFileName",
        "_TOKEN": """TokenSource TokenId AuthenticationId ParentTokenId ModifiedId Privileges SessionId
            UserAndGroupCount RestrictedSidCount UserAndGroups RestrictedSids PrimaryGroup TokenType ImpersonationLevel
            TokenFlags TokenInUse LogonSession OriginatingLogonSession""",
        "_SEP_LOGON_SESSION_REFERENCES": "LogonId AccountName AuthorityName",
        "_CONTROL_AREA": "Segment ListHead NumberOfSectionReferences u FilePointer",
        "_SEGMENT": "ControlArea NumberOfCommittedPages",
        "_KPRCB": WANTED["_KPRCB"] + " InterruptObject",
        "_MMSECTION_FLAGS": "Image File PhysicalMemory",
        "_MMPFN": "ListEntry PteAddress OriginalPte u1 u2 u3 u4",
        "_MI_ACTIVE_PFN": "EntireField",
        "_DEVICE_NODE": """Sibling Child Parent LastChild PhysicalDeviceObject InstancePath ServiceName PendingIrp State
            PreviousState CompletionStatus Flags UserFlags Problem ProblemStatus""",
        "_PEB": """InheritedAddressSpace ReadImageFileExecOptions BeingDebugged ImageBaseAddress Ldr ProcessParameters
            SubSystemData ProcessHeap SessionId""",
        "_PEB32": """InheritedAddressSpace ReadImageFileExecOptions BeingDebugged ImageBaseAddress Ldr
            ProcessParameters SubSystemData ProcessHeap SessionId""",
        "_TEB": """NtTib EnvironmentPointer ClientId ActiveRpcHandle ThreadLocalStoragePointer ProcessEnvironmentBlock
            LastErrorValue LastStatusValue CountOfOwnedCriticalSections HardErrorMode""",
        "_LDR_DATA_TABLE_ENTRY": """InLoadOrderLinks DllBase EntryPoint SizeOfImage FullDllName BaseDllName
            TimeDateStamp""",
    },
    "hardware": {
        **dict.fromkeys(
            """_TRIAGE_9F_POWER _TRIAGE_9F_PNP _TRIAGE_POP_FX_DEVICE _TRIAGE_DEVICE_NODE _TRIAGE_POP_IRP_DATA
            _TRIAGE_PNP_DEVICE_COMPLETION_QUEUE _TRIAGE_PNP_DEVICE_COMPLETION_REQUEST""".split(),
            "",
        ),
        "_DEVICE_NODE": "PhysicalDeviceObject InstancePath ServiceName",
        "_KPRCB": WANTED["_KPRCB"] + " CurrentDpcRoutine DpcTimeLimitTicks DpcWatchdogPeriodTicks DpcWatchdogProfile",
        "_WHEAP_ERROR_SOURCE_TABLE": "Count Items",
        "_WHEAP_ERROR_SOURCE": "ListEntry ErrorCount RecordCount RecordLength Type Records Descriptor",
        "_WHEAP_ERROR_RECORD_WRAPPER": "ErrorRecord",
        "_WHEA_ERROR_RECORD": "Header",
        "_WHEA_ERROR_RECORD_HEADER": "Length",
        "_WHEA_ERROR_SOURCE_DESCRIPTOR": """Length Version Type State MaxRawDataLength NumRecordsToPreallocate
            MaxSectionsPerRecord ErrorSourceId PlatformErrorSourceId Flags""",
    },
    "registry": {
        "_CMHIVE": "Hive HiveList KcbCacheTable KcbCacheTableSize FileFullPath FileUserName HiveRootPath",
        "_HHIVE": "Signature BaseBlock Storage",
        "_DUAL": "Length Map SmallDir",
        "_HBASE_BLOCK": "Signature RootCell Length",
        "_HMAP_ENTRY": "BlockOffset PermanentBinAddress MemAlloc",
        "_CM_KEY_HASH_TABLE_ENTRY": "",
        "_CM_KEY_HASH": "NextHash KeyHive KeyCell",
        "_CM_KEY_CONTROL_BLOCK": "RefCount KeyHash KeyHive KeyCell ParentKcb NameBlock",
    },
}
ENUMS = (
    """_KTHREAD_STATE _KWAIT_REASON _KOBJECTS _EX_HEAP_TYPE _HEAP_FAILURE_TYPE _MI_SYSTEM_VA_TYPE _POOL_TYPE""".split()
)

_BASES = {
    "unsigned char": "u8",
    "unsigned short": "u16",
    "unsigned long": "u32",
    "unsigned int": "u32",
    "unsigned long long": "u64",
    "char": "char",
    "short": "i16",
    "long": "i32",
    "int": "int",
    "long long": "i64",
    "wchar": "wchar",
    "wchar_t": "wchar",
    "void": "void",
    "float": "f32",
    "double": "f64",
    "bool": "bool",
    "HRESULT": "hresult",
}


def _spell(type: Dict[str, Any], needed: List[str]) -> str:
    """A type in the table's words; types whose layout it needs are added to `needed`."""
    kind = type["kind"]
    if kind == "base":
        return _BASES[type["name"]]
    if kind == "pointer":
        return "*" + _spell(type["subtype"], [])
    if kind == "array":
        return f"{_spell(type['subtype'], needed)}[{type['count']}]"
    if kind == "bitfield":
        return f"{_spell(type['type'], needed)}:{type['bit_position']}:{type['bit_length']}"
    if kind == "function":
        return "void"
    needed.append(type["name"])
    name: str = type["name"]
    return name


def generate(table: Dict[str, Any], kind: str = "windows") -> str:
    """The text of a layout table of a kind."""
    records, enums = table["user_types"], table["enums"]
    wanted = {**WANTED, **MORE.get(kind, {})}
    waiting = [name for name in MORE.get(kind, [*WANTED, *ENUMS]) if name in records or name in enums]
    done: Dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        record = records.get(name)
        if record is None:
            done[name] = _enum(name, enums.get(name))
            continue
        chosen = wanted.get(name, "").split()
        fields = [item for item in record["fields"].items() if not chosen or item[0] in chosen]
        rows = [
            f"{field['offset']:x} {member} {_spell(field['type'], waiting)}"
            for member, field in sorted(
                fields, key=lambda item: (item[1]["offset"], item[1]["type"].get("bit_position", 0))
            )
        ]
        done[name] = _paragraph(f"{record['kind']} {name} {record['size']:x}", rows)
    return "\n".join(done[name] for name in sorted(done)) + "\n"


def _enum(name: str, enum: Optional[Dict[str, Any]]) -> str:
    if enum is None:
        return _paragraph(f"struct {name} 0", [])
    rows = [f"{value:x} {constant}" for constant, value in sorted(enum["constants"].items(), key=lambda item: item[1])]
    signed = "signed" if enum["base"] in ("int", "long") else "unsigned"
    return _paragraph(f"enum {name} {enum['size']:x} {signed}", rows)


def _paragraph(head: str, rows: List[str]) -> str:
    lines = wrap("; ".join(row.replace(" ", "~") for row in rows), 118, break_long_words=False, break_on_hyphens=False)
    return "\n".join([head, *("  " + line.replace("~", " ") for line in lines)])


if __name__ == "__main__":
    source, target = sys.argv[1:]
    loaded = json.loads(lzma.decompress(Path(source).read_bytes()))
    Path(target).write_text(generate(loaded, Path(target).name.split("_")[0]))
