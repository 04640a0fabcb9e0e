"""Reads the types of a Windows from volatility 2's tables of them, for kernels that no ISF table is at hand of.

    python -m tests.forge.layouts.vtypes win7_sp1_x64_vtypes.py tests/forge/layouts/windows_7601.txt
    python -m tests.forge.layouts.vtypes win7_sp1_x64_vtypes.py tests/forge/layouts/session_7601.txt

Such a table names no enumerations; those that the kernel's own symbols have are below (wdm.h; Windows Internals). It
lacks _KLDR_DATA_TABLE_ENTRY too, which has stayed the same: that of the table for 19041 is taken.
"""

from __future__ import annotations

import sys
from pathlib import Path
from runpy import run_path
from typing import Any, Dict, List

from tests.forge.layouts.generate import generate

_STATES = "Initialized Ready Running Standby Terminated Waiting Transition DeferredReady GateWait"
_REASONS = """
    Executive FreePage PageIn PoolAllocation DelayExecution Suspended UserRequest WrExecutive WrFreePage WrPageIn
    WrPoolAllocation WrDelayExecution WrSuspended WrUserRequest WrEventPair WrQueue WrLpcReceive WrLpcReply
    WrVirtualMemory WrPageOut WrRendezvous WrKeyedEvent WrTerminated WrProcessInSwap WrCpuRateControl WrCalloutStack
    WrKernel WrResource WrPushLock WrMutex WrQuantumEnd WrDispatchInt WrPreempted WrYieldExecution WrFastMutex
    WrGuardedMutex WrRundown MaximumWaitReason"""
_OBJECTS = """EventNotificationObject EventSynchronizationObject MutantObject ProcessObject QueueObject SemaphoreObject
    ThreadObject GateObject TimerNotificationObject TimerSynchronizationObject Spare2Object Spare3Object Spare4Object
    Spare5Object Spare6Object Spare7Object Spare8Object Spare9Object ApcObject DpcObject DeviceQueueObject
    EventPairObject InterruptObject ProfileObject ThreadedDpcObject MaximumKernelObject"""
_ENUMS = {"_KTHREAD_STATE": _STATES, "_KWAIT_REASON": _REASONS, "_KOBJECTS": _OBJECTS}
#: A word of an enumeration -> its name.
_BY_WORD = {"DeviceNodeStarted": "_PNP_DEVNODE_STATE"}
_INTEGERS = frozenset(
    "unsigned char;unsigned short;unsigned long;unsigned int;unsigned long long;char;short;long;int;long long;wchar;"
    "void;float;double".split(";")
)


def _type(words: List[Any]) -> Dict[str, Any]:
    """A type as an ISF table has it."""
    head = words[0]
    if head.startswith("pointer"):
        return {"kind": "pointer", "subtype": _type(words[1]) if len(words) > 1 else {"kind": "base", "name": "void"}}
    if head == "array":
        return {"kind": "array", "count": words[1], "subtype": _type(words[2])}
    if head == "BitField":
        start, end = words[1]["start_bit"], words[1]["end_bit"]
        base = {"kind": "base", "name": words[1].get("native_type", "unsigned long")}
        return {"kind": "bitfield", "bit_position": start, "bit_length": end - start, "type": base}
    if head == "Enumeration":
        # It has no name; few are needed by theirs.
        choices = words[1]["choices"].values()
        name = next((name for word, name in _BY_WORD.items() if word in choices), None)
        return {"kind": "enum", "name": name} if name else {"kind": "base", "name": words[1]["target"]}
    if head == "function":
        return {"kind": "function"}
    return {"kind": "base", "name": head} if head in _INTEGERS else {"kind": "struct", "name": head}


def _enum(constants: Dict[str, int]) -> Dict[str, Any]:
    return {"size": 4, "base": "int", "constants": constants}


def table(source: Path) -> Dict[str, Any]:
    """The types of a module of vtypes as an ISF table."""
    records, enums = {}, {}
    for name, (size, members) in run_path(str(source))["ntkrnlmp_types"].items():
        fields = {member: {"offset": offset, "type": _type(words)} for member, (offset, words) in members.items()}
        starts = {field["offset"] for field in fields.values()}
        has_bits = any(field["type"]["kind"] == "bitfield" for field in fields.values())
        kind = "union" if len(fields) > 1 and starts == {0} and not has_bits else "struct"
        records[name] = {"kind": kind, "size": size, "fields": fields}
        for member, field in fields.items():
            if field["type"]["kind"] == "enum":
                choices = members[member][1][1]["choices"]
                enums[field["type"]["name"]] = _enum({word: value for value, word in choices.items()})
    for name, words in _ENUMS.items():
        enums[name] = _enum({word: value for value, word in enumerate(words.split())})
    return {"user_types": records, "enums": enums}


def _paragraph_of(path: Path, head: str) -> str:
    lines = path.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(head))
    end = next(index for index in range(start + 1, len(lines)) if not lines[index].startswith("  "))
    return "\n".join(lines[start:end]) + "\n"


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    kind = target.name.split("_")[0]
    text = generate(table(source), kind)
    if kind == "windows":
        text += _paragraph_of(target.with_name("windows_19041.txt"), "struct _KLDR_DATA_TABLE_ENTRY ")
    target.write_text(text)
