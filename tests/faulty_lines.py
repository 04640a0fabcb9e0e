"""The lines that the commands are run with where memory is faulty: for each command, on a dump's own objects."""

from __future__ import annotations

from contextlib import suppress
from typing import Dict, Iterable, Iterator, List

from dumpkit.errors import DumpkitError
from dumpkit.kernel.process import Process, processes
from dumpkit.kernel.thread import Thread, current_thread
from dumpkit.target import Target

#: Commands of which nothing is to be learnt: they end the session, write files, run scripts, or ask for the network.
LEFT_OUT = frozenset(
    "q .break .continue .else .elsif .leave .logopen .logappend .logclose .writemem $$>< $$>a< $< .reload .symfix"
    " .sympath".split()
)

#: What no example has anything for: its commands are run, and only their errors seen.
NOT_IN_EXAMPLES = frozenset(
    (
        "dv",  # the function that crashed has no locals
        "errrec",  # no hardware error is recorded
        "whea",  # the table of the sources of errors is not there
        "poolused",  # the pool's tracker is not there
        "svcreg",  # no hive is in memory
        "devnode",  # nor a tree of devices
        "exqueue",  # nor work queues
        "idt",  # nor an interrupt dispatch table
        "pfn",  # nor the page frame database
        "peb",  # nor user mode
        "teb",
        "token",  # and processes have no tokens
        "vad",  # and no VADs
        "verifier",  # and the verifier's data has no type
    )
)

#: What is put behind a command's name, besides nothing; {} stand for addresses of the dump.
ARGUMENTS: Dict[str, List[str]] = {
    "apc": ["thre {thread}", "proc {process}"],
    "analyze": ["-v", "-show"],
    "devnode": ["0 1"],
    "devobj": ["{device}"],
    "devstack": ["{device}"],
    "drvobj": ["{driver}", "{driver} 7"],
    "dt": ["nt!_ETHREAD {thread}", "nt!_EPROCESS {process} -r1", "nt!_KPRCB {prcb}"],
    "ddt": ["nt!_ETHREAD {thread}"],
    "d": ["{stack}"],
    "dyb": ["{stack}"],
    "dyd": ["{stack} L4"],
    "dl": ["{thread}"],
    "dlb": ["{thread} 4 2"],
    "ds": ["{stack}"],
    "dS": ["{stack}"],
    "s": ["-q {stack} L40 0", "-sa {stack} L200", "-[1]d {stack} L40 0"],
    "for_each_module": [".echo @#ModuleName @#Base"],
    "c": ["{stack} L10 {thread}"],
    "rF": [""],
    ".printf": ['"%p %y %ma\\n", {rip}, {rip}, {stack}'],
    ".if": ["(1) {{ ? {stack} }} .else {{ .echo no }}"],
    ".for": ["(r $t0 = 0; @$t0 < 2; r $t0 = @$t0 + 1) {{ ? @$t0 }}"],
    ".while": ["(0) {{ .echo no }}"],
    ".do": ["{{ .echo once }} (0)"],
    ".foreach": ["(x {{ dq {stack} L2 }}) {{ .echo x }}"],
    ".block": ["{{ dq {stack} L2 }}"],
    ".catch": ["{{ dq {stack} L2; .leave }}"],
    "j": ["1 'dq {stack} L2'; '.echo no'"],
    "z": ["0"],
    "as": ["x1 dq {stack} L2"],
    "aS": ["/x x2 poi({stack})"],
    "ad": ["*"],
    "dps": ["{stack} L20"],
    "dpp": ["{stack} L20"],
    "dpa": ["{stack} L20"],
    "dpu": ["{stack} L20"],
    "evt": ["{awaited}"],
    "fileobj": ["{file}"],
    "frame": ["2", "/r 3"],
    ".frame": ["2", "/r 3"],
    "eresource": ["{thread}"],
    "grep": ["-A 2 running us -a", "-r -v ^K k"],
    "handle": ["0 3", "4"],
    "idt": ["-a"],
    "imports": ["{module}", "-a {module}"],
    "irp": ["{irp}", "{irp} 1"],
    "irqlcheck": ["{thread}", "{module}"],
    "irpfind": ["0 0 thread {thread}"],
    "k": ["b", "v", "n"],
    "lm": ["v", "v m {module}"],
    "ln": ["{rip}"],
    "object": ["{device}", "\\", "\\Device", "{thread}"],
    "address": ["{thread}", "{rip}"],
    "locks": ["-d", "-v"],
    "lt": ["-a -wf -v", "{process}", "-a -bk"],
    "mut": ["{awaited}"],
    "obj": ["{awaited}", "{thread}"],
    "sem": ["{awaited}"],
    "poolfind": ["Thre", "Irp? 1"],
    "poolval": ["{thread}", "{pooled} 3"],
    "ptov": ["{root}"],
    "reg": ["hivelist", "-p \\\\REGISTRY\\\\MACHINE"],
    "rM": ["1"],
    "svcreg": ["TestDrv"],
    "vtop": ["{root} {stack}", "0 {thread}"],
    "timer": ["{thread}"],
    "~": ["0s"],
    "p": ["{process}", "4"],
    "pfn": ["{root}>>c"],
    "pool": ["{process}", "{thread} 2", "{stack}"],
    "process": ["{process} 7", "0 0", "0 7", "{process} 1f"],
    ".process": ["{process}", "/p {process}"],
    "pte": ["{stack}", "{process}"],
    "strings": ["-m {module}"],
    "ready": ["0", "6"],
    "running": ["-it"],
    "stacks": ["1", "2 nt"],
    "sysinfo": ["machineid", "cpuinfo", "cpuspeed"],
    "t": ["{thread}", "-a {thread}", "-c {thread}", "-i {thread}", "{waiting}", "-a {waiting}"],
    "tl": ["-t -mem -cpu", "-u -proc -s", "-sort thread System"],
    "token": ["-n", "{thread}"],
    "ustr": ["{thread}", "{driver}+38"],
    "vad": ["{process}", "7ff00000"],
    "verifier": ["1"],
    "thread": ["{thread}", "{waiting}", "{waiting} 1f"],
    ".thread": ["{waiting}"],
    ".trap": ["{trap}"],
    ".cxr": ["{stack}"],
    ".exr": ["-1", "{stack}"],
    "u": ["{rip}"],
    "ub": ["{rip}"],
    "uf": ["{rip}"],
    "us": ["-a", "-cpu", "-k {module}", "-p {process} -wr Executive"],
    "x": ["{module}!*"],
    "r": ["rip"],
    "?": ["poi({stack})"],
    "??": ["@rsp", "*(int*){stack}", "@$thread->Tcb.Process"],
    "error": ["c0000005"],
    ".formats": ["{stack}"],
}


def _addresses(target: Target) -> Dict[str, str]:
    """The places that the lines name; those that the dump does not have are left out."""
    number = target.current_processor
    context = target.context(number)
    thread = current_thread(target, number)
    found = {
        "thread": thread.address,
        "process": thread.process.address,
        "prcb": target.prcb_address(number),
        "stack": context.stack_pointer,
        "rip": context.instruction_pointer,
    }
    with suppress(DumpkitError):
        found["root"] = thread.process.directory_table_base
    waiting = next((each for each in _threads(target) if each.state == "Waiting"), None)
    if waiting is not None:
        found["waiting"] = waiting.address
        found["awaited"] = int(target.type("_KWAIT_BLOCK").at(int(waiting.tcb.WaitBlockList)).Object)
    if target.bugcheck is not None:
        found["pooled"] = target.bugcheck.parameters[2]
    irp = next((irp for each in _threads(target) for irp in each.irps()), None)
    if irp is not None:
        found["irp"] = irp
        with suppress(DumpkitError):
            found.update(_objects(target, irp))
    from dumpkit.kernel.stack import walk_stack

    frames = walk_stack(target, context)
    for index, frame in enumerate(frames):
        if frame.is_interrupted and index:
            found["trap"] = frames[index - 1].stack_pointer
    return {name: f"{address:x}" for name, address in found.items()}


def _threads(target: Target) -> Iterator[Thread]:
    for process in processes(target):
        yield from Process(target, process.address).threads()


def _objects(target: Target, irp: int) -> Dict[str, int]:
    record = target.type("_IRP").at(irp)
    stack = record.Tail.Overlay.CurrentStackLocation
    device = int(stack.DeviceObject)
    view = target.type("_DEVICE_OBJECT").at(device)
    return {"device": device, "driver": int(view.DriverObject), "file": int(stack.FileObject)}


def lines_of(target: Target, commands: Iterable[str], module: str) -> List[str]:
    """The lines to run commands with on a target: the bare name, and with every argument that the dump allows."""
    addresses = {**_addresses(target), "module": module}
    lines = []
    for command in commands:
        lines.append(command)
        for arguments in ARGUMENTS.get(command, ()):
            with suppress(KeyError):
                lines.append(f"{command}{'' if command == '~' else ' '}{arguments.format(**addresses)}")
    return lines
