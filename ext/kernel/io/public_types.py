"""The I/O manager's structures as wdm.h declares them for 64-bit Windows: what can be read without symbols.

Drivers are compiled against these, hence they stay as they are. Members that wdm.h calls reserved, or has no
declaration of, are from ntoskrnl's public symbols, which have had them alike from Windows Vista to Windows 11.
"""

from __future__ import annotations

from functools import partial

from dumpkit.errors import SymbolError
from dumpkit.objects import BoundType, Space
from dumpkit.symbols.types import ArrayType, BaseType, Member, PointerType, RecordType, Type
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple

_BASES: Dict[str, Tuple[str, int, str]] = {
    "u8": ("unsigned char", 1, "uchar"),
    "i8": ("char", 1, "int"),
    "u16": ("unsigned short", 2, "uint"),
    "i16": ("short", 2, "int"),
    "u32": ("unsigned long", 4, "uint"),
    "i32": ("long", 4, "int"),
    "u64": ("unsigned long long", 8, "uint"),
    "i64": ("long long", 8, "int"),
    "void": ("void", 0, "void"),
}

#: Structure -> (size in bytes, members): offset (hexadecimal), name, type; * is a pointer.
_LAYOUTS: Dict[str, Tuple[int, str]] = {
    "_LIST_ENTRY": (0x10, "0 Flink *_LIST_ENTRY; 8 Blink *_LIST_ENTRY"),
    "_UNICODE_STRING": (0x10, "0 Length u16; 2 MaximumLength u16; 8 Buffer *u16"),
    "_LARGE_INTEGER": (8, "0 QuadPart i64"),
    "_DISPATCHER_HEADER": (0x18, "0 Type u8; 4 SignalState i32; 8 WaitListHead _LIST_ENTRY"),
    "_KEVENT": (0x18, "0 Header _DISPATCHER_HEADER"),
    "_IO_STATUS_BLOCK": (0x10, "0 Status i32; 8 Information u64"),
    "_IRP": (
        0xD0,
        "0 Type i16; 2 Size u16; 8 MdlAddress *void; 10 Flags u32; 18 AssociatedIrp _IRP_ASSOCIATED;"
        " 20 ThreadListEntry _LIST_ENTRY; 30 IoStatus _IO_STATUS_BLOCK; 40 RequestorMode i8; 41 PendingReturned u8;"
        " 42 StackCount i8; 43 CurrentLocation i8; 44 Cancel u8; 45 CancelIrql u8; 46 ApcEnvironment i8;"
        " 48 UserIosb *void; 50 UserEvent *void; 58 Overlay _IRP_OVERLAY; 68 CancelRoutine *void; 70 UserBuffer *void;"
        " 78 Tail _IRP_TAIL",
    ),
    "_IRP_ASSOCIATED": (8, "0 MasterIrp *_IRP; 0 SystemBuffer *void"),
    "_IRP_OVERLAY": (0x10, "0 AsynchronousParameters _IRP_PARAMETERS; 0 AllocationSize _LARGE_INTEGER"),
    "_IRP_PARAMETERS": (0x10, "0 UserApcRoutine *void; 8 UserApcContext *void"),
    "_IRP_TAIL": (0x58, "0 Overlay _IRP_TAIL_OVERLAY; 0 CompletionKey *void"),
    "_IRP_TAIL_OVERLAY": (
        0x58,
        "0 DeviceQueueEntry _KDEVICE_QUEUE_ENTRY; 20 Thread *void; 28 AuxiliaryBuffer *void; 30 ListEntry _LIST_ENTRY;"
        " 40 CurrentStackLocation *_IO_STACK_LOCATION; 48 OriginalFileObject *_FILE_OBJECT",
    ),
    "_KDEVICE_QUEUE_ENTRY": (0x18, "0 DeviceListEntry _LIST_ENTRY; 10 SortKey u32; 14 Inserted u8"),
    "_KDEVICE_QUEUE": (0x28, "8 DeviceListHead _LIST_ENTRY; 20 Busy u8"),
    "_IO_STACK_LOCATION": (
        0x48,
        "0 MajorFunction u8; 1 MinorFunction u8; 2 Flags u8; 3 Control u8; 8 Parameters u64[4];"
        " 28 DeviceObject *_DEVICE_OBJECT; 30 FileObject *_FILE_OBJECT; 38 CompletionRoutine *void; 40 Context *void",
    ),
    "_DEVICE_OBJECT": (
        0x150,
        "0 Type i16; 2 Size u16; 4 ReferenceCount i32; 8 DriverObject *_DRIVER_OBJECT; 10 NextDevice *_DEVICE_OBJECT;"
        " 18 AttachedDevice *_DEVICE_OBJECT; 20 CurrentIrp *_IRP; 30 Flags u32; 34 Characteristics u32; 38 Vpb *void;"
        " 40 DeviceExtension *void; 48 DeviceType u32; 4c StackSize i8; a0 DeviceQueue _KDEVICE_QUEUE;"
        " 110 SecurityDescriptor *void; 138 DeviceObjectExtension *_DEVOBJ_EXTENSION",
    ),
    "_DEVOBJ_EXTENSION": (
        0x70,
        "0 Type i16; 8 DeviceObject *_DEVICE_OBJECT; 20 ExtensionFlags u32; 28 DeviceNode *void;"
        " 30 AttachedTo *_DEVICE_OBJECT",
    ),
    "_DEVICE_NODE": (0x48, "28 InstancePath _UNICODE_STRING; 38 ServiceName _UNICODE_STRING"),
    "_DRIVER_OBJECT": (
        0x150,
        "0 Type i16; 2 Size i16; 8 DeviceObject *_DEVICE_OBJECT; 10 Flags u32; 18 DriverStart *void; 20 DriverSize u32;"
        " 28 DriverSection *void; 30 DriverExtension *_DRIVER_EXTENSION; 38 DriverName _UNICODE_STRING;"
        " 50 FastIoDispatch *_FAST_IO_DISPATCH; 58 DriverInit *void; 60 DriverStartIo *void; 68 DriverUnload *void;"
        " 70 MajorFunction u64[28]",
    ),
    "_DRIVER_EXTENSION": (0x28, "0 DriverObject *_DRIVER_OBJECT; 8 AddDevice *void"),
    "_FAST_IO_DISPATCH": (0xE0, "0 SizeOfFastIoDispatch u32"),
    "_SECTION_OBJECT_POINTERS": (
        0x18,
        "0 DataSectionObject *void; 8 SharedCacheMap *void; 10 ImageSectionObject *void",
    ),
    "_FILE_OBJECT": (
        0xD8,
        "0 Type i16; 2 Size i16; 8 DeviceObject *_DEVICE_OBJECT; 10 Vpb *void; 18 FsContext *void; 20 FsContext2 *void;"
        " 28 SectionObjectPointer *_SECTION_OBJECT_POINTERS; 38 FinalStatus i32; 40 RelatedFileObject *_FILE_OBJECT;"
        " 49 DeletePending u8; 4a ReadAccess u8; 4b WriteAccess u8; 4c DeleteAccess u8; 4d SharedRead u8;"
        " 4e SharedWrite u8; 4f SharedDelete u8; 50 Flags u32; 58 FileName _UNICODE_STRING;"
        " 68 CurrentByteOffset _LARGE_INTEGER; 98 Event _KEVENT; c0 IrpList _LIST_ENTRY",
    ),
}


def io_type(target: Target, name: str) -> BoundType:
    """A structure of the I/O manager: the kernel's own where its symbols have it, else that of wdm.h.

    Raises SymbolError for another than those of this module.
    """
    try:
        return target.type(name)
    except SymbolError:
        if name not in _LAYOUTS:
            raise
    space = target.__dict__.get("_wdm_space")
    if space is None:
        space = target.__dict__["_wdm_space"] = Space(target.memory, _find)
    return BoundType(space, _find(name))


_TYPES: Dict[str, Type] = {}


def _find(name: str) -> Type:
    """A type of `_LAYOUTS`. Raises SymbolError."""
    found = _TYPES.get(name)
    if found is None:
        if name not in _LAYOUTS:
            raise SymbolError(f"{name} is not known without the kernel's symbols")
        size, members = _LAYOUTS[name]
        found = _TYPES[name] = RecordType(name, size, "struct", partial(_members, members))
    return found


def _members(text: str) -> List[Member]:
    made = []
    for row in text.split(";"):
        offset, name, type = row.split()
        made.append(Member(name, int(offset, 16), partial(_spelled, type)))
    return made


def _spelled(text: str) -> Type:
    if text.startswith("*"):
        return PointerType(partial(_spelled, text[1:]))
    if text.endswith("]"):
        element, _, count = text[:-1].partition("[")
        return ArrayType(partial(_spelled, element), int(count), int(count) * _spelled(element).size)
    base = _BASES.get(text)
    return BaseType(*base) if base is not None else _find(text)
