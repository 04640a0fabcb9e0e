"""The commands: one file each, or one for a close family.

`INDEX` says which module registers a name, so that running one command imports one module; a test
holds it against what the modules register.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

_MODULES: Dict[str, str] = {
    "address": "address",
    "analyze": "analyze",
    "apc": "apc",
    "bugcheck": ".bugcheck",
    "display": "d db dw dW dd dc dq dp df dD da du dds ddp dda ddu dqs dps dqp dpp dqa dpa dqu dpu "
    "!db !dw !dd !dc !dq !dp",
    "contexts": ".trap .cxr .ecxr .exr",
    "cpuinfo": "cpuinfo",
    "crash": "crash",
    "ddt": "ddt",
    "devnode": "devnode",
    "devobj": "devobj devstack",
    "di": "di dumpinfo",
    "dispatcher_object": "mut evt sem obj",
    "dpcs": "dpcs",
    "drvobj": "drvobj",
    "dt": "dt",
    "error": "error",
    "fileobj": "fileobj",
    "dv": "dv",
    "formats": ".formats ? ??",
    "frame": ".frame",
    "grep": "grep",
    "handle": "handle",
    "help": "help .help hh .hh",
    "idt": "idt",
    "implicit": ".thread .process",
    "imports": "imports",
    "irql": "irql",
    "irqlcheck": "irqlcheck",
    "irp": "irp",
    "lines": ".lines",
    "ln": "ln",
    "irpfind": "irpfind",
    "locks": "locks eresource",
    "lt": "lt listthreads trep",
    "modules": "lm",
    "object": "object",
    "p": "p",
    "pfn": "pfn",
    "pool": "pool",
    "poolfind": "poolfind",
    "poolused": "poolused",
    "poolval": "poolval",
    "process": "process",
    "pcr": "pcr",
    "peb": "peb",
    "processors": "~",
    "pte": "pte",
    "reg": "reg mreg svcreg cn computername",
    "registers": "r rM rX",
    "running": "running ready Standby",
    "session": ".echo q qq qd quit exit n .logopen .logappend .logclose $$>< $>< $$>a< $>a< $< $$<",
    "stack": "k",
    "stacks": "stacks",
    "strings": "strings",
    "symbols": ".sympath .symfix .reload sym",
    "t": "t",
    "teb": "teb",
    "thread": "thread",
    "timer": "timer",
    "tl": "tl tasklist",
    "token": "token",
    "unassemble": "u uu ub",
    "unassemble_function": "uf",
    "us": "us uniquestacks",
    "ustr": "ustr",
    "vad": "vad",
    "vertarget": "vertarget .time",
    "vm": "vm",
    "vtop": "vtop ptov",
    "w": "w",
    "whea": "whea errrec",
    "wr_fast_mutex": "WrFastMutex",
    "x": "x",
}

#: name of a command -> module in this package
INDEX: Dict[str, str] = {name: module for module, names in _MODULES.items() for name in names.split()}
