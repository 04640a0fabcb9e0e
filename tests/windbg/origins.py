"""Where each command comes from in WinDbg, and what is the same, more and missing, for docs/coming-from-windbg.md."""

from __future__ import annotations

from typing import Dict, NamedTuple

ENGINE, KDEXTS, EXT, MEX, OWN = "engine", "kdexts", "ext", "mex", "dumpkit"


class Origin(NamedTuple):
    """One row: the debugger's part that has the command, and what a user of it will find."""

    part: str
    same: str
    more: str = ""
    missing: str = ""


_DISPLAY = Origin(ENGINE, "ranges, /c, the text")
_POINTERS = Origin(ENGINE, "ranges, the text, names of symbols")
_PHYSICAL = Origin(KDEXTS, "the text", missing="the caching flags [c] [uc] [wc]")

ORIGINS: Dict[str, Origin] = {
    **dict.fromkeys(("db", "dw", "dd", "dc", "dq", "df", "dD", "da", "du", "dp", "dW", "d"), _DISPLAY),
    **dict.fromkeys(("dps", "dqs", "dds", "dpp", "dqp", "ddp", "dpa", "dqa", "dda", "dpu", "dqu", "ddu"), _POINTERS),
    **dict.fromkeys(("!db", "!dw", "!dd", "!dc", "!dq", "!dp"), _PHYSICAL),
    "u": Origin(ENGINE, "ranges, the text, source lines", "code that the dump lacks, from the image's file"),
    "ub": Origin(ENGINE, "the text, the way back", "code that the dump lacks, from the image's file"),
    "uf": Origin(ENGINE, "blocks, /c, /i, /m", "code from the image's file", "what jump tables lead to; /o, /D"),
    "dyb": Origin(ENGINE, "ranges, /c, the text"),
    "dyd": Origin(ENGINE, "ranges, /c, the text"),
    "ds": Origin(ENGINE, "the text"),
    "dS": Origin(ENGINE, "the text"),
    "dl": Origin(ENGINE, "counts, the text", "ends where the list comes back"),
    "dlb": Origin(ENGINE, "counts, the text", "ends where the list comes back"),
    "s": Origin(ENGINE, "-b -w -d -q -a -u -sa -su, [1] and [lN], the text", missing="-v: objects of a class"),
    "c": Origin(ENGINE, "the text"),
    ".writemem": Origin(ENGINE, "the text", "says what the dump lacks; writes over no file"),
    "for_each_module": Origin(EXT, "@#Base and its like, blocks", missing="versions; -t, -u, -c, -m"),
    ".bugcheck": Origin(ENGINE, "the text"),
    ".time": Origin(ENGINE, "the text", "--time-zone outside WinDbg"),
    "vertarget": Origin(ENGINE, "the text"),
    "analyze": Origin(
        EXT,
        "-v, -f, -hang, -show, the labels and their order, the bucket and its hash",
        "what each statement rests on, what cannot be known and why (`--json`)",
        "-c, -load, -unload, -xml; some bugchecks' texts are dumpkit's own; triage.ini is not read",
    ),
    "di": Origin(MEX, "the text, -v"),
    "cn": Origin(MEX, "the text"),
    "t": Origin(
        MEX, "every option, the text, the links", "-a: deadlocks named, owner by owner", "-w: windows of the thread"
    ),
    "ddt": Origin(MEX, "the text, numbers in both radixes, remarks"),
    "imports": Origin(MEX, "-a, the text", "delay-loaded and bound imports"),
    "strings": Origin(MEX, "-m, the text", "ranges, -n, -a, -u; from the image's file"),
    "mut": Origin(MEX, "the text"),
    "evt": Origin(MEX, "the text"),
    "sem": Origin(MEX, "the text"),
    "obj": Origin(MEX, "-waiters"),
    "svcreg": Origin(MEX, "the text"),
    "reg": Origin(KDEXTS, "hivelist and keys", "`mreg`'s -p PATH", "the other verbs of !reg"),
    "pool": Origin(KDEXTS, "the text and flags", "every allocator of the segment heap; damage named, reading goes on"),
    "poolval": Origin(KDEXTS, "the levels", "pages of the segment heap; one-bit errors"),
    "poolused": Origin(KDEXTS, "flags 1, 2, 4 and tags", missing="session pools (flag 8)"),
    "poolfind": Origin(
        KDEXTS, "tags with * and ?", "says which finds nothing confirms", "-nonpaged, -paged, -global …"
    ),
    "pte": Origin(KDEXTS, "every form, the text", "why a level is missing; five levels, ARM64"),
    "address": Origin(EXT, "regions of the system's address space", "names the module, pool block or stack"),
    "ptov": Origin(KDEXTS, "the text"),
    "vtop": Origin(KDEXTS, "DirBase and address", "prototype entries followed; ARM64"),
    "ready": Origin(MEX, "the text", "FLAGS: the queues as kdexts shows them, shared and deferred ones too"),
    "running": Origin(MEX, "the text", "-i, -t: the text of kdexts' !running"),
    "Standby": Origin(MEX, "the text"),
    "trep": Origin(MEX, "the text"),
    "lt": Origin(MEX, "the options, the text, the links"),
    "tl": Origin(MEX, "the options, the text, the links"),
    "us": Origin(MEX, "the options, the text, the links", "-a: every process", "-3"),
    "p": Origin(MEX, "the text, the links", "by id or name, too"),
    "w": Origin(MEX, "the text"),
    "crash": Origin(MEX, "the text"),
    "WrFastMutex": Origin(MEX, "the text", "guarded mutexes"),
    "grep": Origin(MEX, "-r, -v, -A, the links of the lines"),
    "eresource": Origin(MEX, "the text", "deadlocks named"),
    "locks": Origin(KDEXTS, "-v, -d, the text", "deadlocks named"),
    "vm": Origin(KDEXTS, "flags 1 and 20, the text", "says which counts the dump does not hold"),
    "irql": Origin(KDEXTS, "the text", "every processor; -v; what else tells it where symbols are missing"),
    "irqlcheck": Origin(OWN, "", "the IRQL of every frame, and which call broke a contract of the DDI reference"),
    "irp": Origin(KDEXTS, "the text, detail 1", "all IRPs of all threads without an address"),
    "irpfind": Origin(
        KDEXTS, "pool types, RESTART, every criterion", "says which finds nothing confirms", "session pool"
    ),
    "devnode": Origin(
        KDEXTS, "the tree, flags 1, 10, 20, services", "problems' statuses", "resources (2, 4, 8), pending removals"
    ),
    "apc": Origin(KDEXTS, "all, proc, thre, one KAPC, the text", "normal routines"),
    "idt": Origin(KDEXTS, "-a, a vector, shared interrupts, stacks", missing="all processors at once: ~Ns chooses"),
    "vad": Origin(KDEXTS, "the tree, files, flag 1", "an address of user mode", "the load command for symbols"),
    "pfn": Origin(KDEXTS, "the text", missing="the used entry count, which newer Windows do not keep"),
    "cpuinfo": Origin(KDEXTS, "the text", missing="MSR 8B, which no dump holds"),
    "stacks": Origin(KDEXTS, "0, 1, 2 and a text", "user mode's frames where the dump has them"),
    "token": Origin(KDEXTS, "-n, the text", missing="security attributes, capabilities"),
    "exqueue": Origin(
        KDEXTS, "queues, threads, pending items, flags", missing="the exact text, which no document shows"
    ),
    "verifier": Origin(KDEXTS, "settings, counts, drivers (1)", "names of all flags", "the logs (4, 8, 20 to 800)"),
    "sysinfo": Origin(KDEXTS, "machineid, cpuinfo, cpuspeed", missing="cpumicrocode, gbl, registers, smbios; -csv"),
    "peb": Origin(EXT, "the text", "the 32-bit block of a 32-bit program"),
    "teb": Origin(EXT, "the text"),
    "ustr": Origin(KDEXTS, "the text", "refuses what is no string"),
    "devobj": Origin(KDEXTS, "by address or path, the text"),
    "devstack": Origin(KDEXTS, "the text"),
    "drvobj": Origin(KDEXTS, "by address or name, flags 1, 2, 4"),
    "fileobj": Origin(KDEXTS, "the text"),
    "object": Origin(
        KDEXTS, "addresses, paths, directories, flags", missing="object 0 TYPE lists what a path leads to"
    ),
    "handle": Origin(KDEXTS, "flags, processes, types"),
    "thread": Origin(KDEXTS, "flags, -p, -t, the text"),
    "process": Origin(KDEXTS, "flags, /s, /m, images, the text"),
    "pcr": Origin(KDEXTS, "the text"),
    "prcb": Origin(KDEXTS, "the text"),
    "dpcs": Origin(KDEXTS, "the text"),
    "timer": Origin(KDEXTS, "the text"),
    "errrec": Origin(
        KDEXTS,
        "the text as far as public transcripts show it",
        "what a machine check's status and a device's errors say",
    ),
    "whea": Origin(KDEXTS, "every source, the links", missing="what the descriptors say of each kind of source"),
    "error": Origin(EXT, "the text", missing="codes without a name in the tables"),
    ".trap": Origin(ENGINE, "the text"),
    ".cxr": Origin(ENGINE, "the text"),
    ".ecxr": Origin(ENGINE, "the text"),
    "dv": Origin(ENGINE, "patterns, /t, /v, /V, /i, /a, /n"),
    ".exr": Origin(ENGINE, "the text, -1"),
    ".frame": Origin(
        ENGINE,
        "the text, /r, /c",
    ),
    ".thread": Origin(ENGINE, "the text, /p, /r"),
    ".process": Origin(ENGINE, "the text, /p, /r", missing="/i: a dump cannot run on"),
    "k": Origin(
        ENGINE,
        "letters b c f L n p P v M, k = SP IP COUNT, inlined functions, trap frames",
        "says how a frame was found where images for unwinding are missing",
    ),
    "r": Origin(
        ENGINE,
        "registers, parts, flags, formats; $t0 to $t19 and $.u0 to $.u9 are set",
        missing="registers are never set; AVX registers, of which the engine shows zeros",
    ),
    "rM": Origin(ENGINE, "the text", missing="AVX registers, of which the engine shows zeros"),
    "rF": Origin(ENGINE, "the text"),
    "rX": Origin(ENGINE, "the text"),
    "lm": Origin(ENGINE, "letters, patterns, the text", "why a module has no symbols (v)", "version resources (v)"),
    "ln": Origin(ENGINE, "the text"),
    "x": Origin(ENGINE, "patterns, options, the text", missing="locals; the order without an option is by address"),
    "dt": Origin(ENGINE, "options, patterns, lists, the text"),
    ".lines": Origin(ENGINE, "-e, -d, -t"),
    ".reload": Origin(ENGINE, "/f, /i, /u, the text", "why each module was not found", "MODULE=ADDRESS"),
    ".sympath": Origin(ENGINE, "the syntax, .sympath+", "a folder `symbols` beside the dump is looked in first"),
    ".symfix": Origin(ENGINE, ".symfix+"),
    "sym": Origin(ENGINE, "noisy and quiet"),
    "?": Origin(ENGINE, "the whole MASM syntax, pseudo-registers, poi, @@c++()"),
    "??": Origin(
        ENGINE,
        "numbers, casts, members, arrays, sizeof, #FIELD_OFFSET, @$thread and its like, records as dt shows them",
        missing="assignments, string literals, typed $t0",
    ),
    ".formats": Origin(ENGINE, "the text"),
    "~": Origin(ENGINE, "~Ns"),
    ".echo": Origin(ENGINE, "its text"),
    ".printf": Origin(ENGINE, "formats, widths, %y %ly %ma %mu %msa %msu, links with /D", missing="/o and colours"),
    ".if": Origin(ENGINE, ".if .elsif .else"),
    **dict.fromkeys((".elsif", ".else"), Origin(ENGINE, "behind .if")),
    **dict.fromkeys((".for", ".while", ".do"), Origin(ENGINE, "conditions, .break, .continue")),
    ".foreach": Origin(ENGINE, "words of commands, /s, /f, /pS, /ps"),
    ".block": Origin(ENGINE, "aliases replaced in it"),
    ".catch": Origin(ENGINE, ".leave"),
    **dict.fromkeys((".break", ".continue"), Origin(ENGINE, "in loops")),
    ".leave": Origin(ENGINE, "in .catch"),
    "j": Origin(ENGINE, "one command or the other"),
    "z": Origin(ENGINE, "the line again"),
    "as": Origin(ENGINE, "/x /c /e /f /ma /mu /msa /msu, ${}, ${/d:} ${/f:} ${/n:} ${/v:}"),
    "aS": Origin(ENGINE, "as as, to a semicolon"),
    "al": Origin(ENGINE, "the text"),
    "ad": Origin(ENGINE, "*, /q"),
    ".logopen": Origin(ENGINE, "the file", missing="/t, /d"),
    ".logappend": Origin(ENGINE, "the file", missing="/t, /d"),
    ".logclose": Origin(ENGINE, "the words"),
    "n": Origin(ENGINE, "8, 10, 16"),
    "q": Origin(ENGINE, "q, qq, qd"),
    "$$><": Origin(ENGINE, "lines joined by ;"),
    "$$>a<": Origin(ENGINE, "arguments ${$arg1}"),
    "$<": Origin(ENGINE, "line by line"),
    "help": Origin(OWN, "", "help COMMAND; COMMAND -h"),
}

#: What WinDbg has and dumpkit has not, by what it is for.
ABSENT = (
    ("running and changing a target", "g p t bp ba e* f m .kill .reboot: dumpkit reads and never writes"),
    ("processes' dumps", "every command on a user-mode dump (MDMP): kernels and their dumps only"),
    ("the data model", "dx, NatVis, JavaScript"),
    ("32-bit kernels", "x86 and 32-bit ARM dumps"),
)
