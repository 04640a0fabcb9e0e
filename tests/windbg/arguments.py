"""What each command is given in the comparison of the backends; `{name}` stands for a value of the dump.

Commands that are not listed run without arguments and with those of `OTHERS`, so that none is forgotten.
"""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Tuple

from dumpkit.dispatcher import load_all

OTHERS = ("", "{sp}", "{thread}")
_MEMORY = ("{sp}", "{sp} L4", "{nt} L8", "{ip} L3", "0 L4", "{thread} L10")
_POINTERS = ("{sp}", "{sp} L20", "{thread} L8")

#: Lines that show whether symbols are loaded.
SHOWS_STATES = re.compile(r"lm|x \w+!$")

ARGUMENTS: Dict[str, Tuple[str, ...]] = {
    **dict.fromkeys(("db", "dw", "dd", "dc", "dq", "df", "dD", "da", "du", "dp", "dW"), _MEMORY),
    **dict.fromkeys(("dps", "dqs", "dds", "dpp", "dqp", "ddp", "dpa", "dpu", "dda", "ddu", "dqa", "dqu"), _POINTERS),
    **dict.fromkeys(("!db", "!dw", "!dd", "!dc", "!dq", "!dp"), ("1ad000 L4", "0 L2")),
    # Commands that run commands: with an address for a condition, z would run its line for ever.
    "z": ("0", "zz"),
    "j": ("1 '.echo one' ; '.echo other'",),
    ".if": ("(1) {{.echo yes}} .else {{.echo no}}",),
    ".while": ("(0) {{.echo never}}",),
    ".do": ("{{.echo once}} (0)",),
    ".for": ("(r $t19=0; @$t19<2; r $t19=@$t19+1) {{.echo round}}",),
    ".foreach": ("(word {{.echo a b}}) {{.echo word}}",),
    ".block": ("{{.echo block}}",),
    ".catch": ("{{? zz}}",),
    "?": ("{sp}+8", "nt", "@rip", "nt!KeBugCheckEx", "@$thread", "poi({sp})", "zz!zz", "1+"),
    "??": ("1+2", "sizeof(nt!_KTHREAD)", "((nt!_KTHREAD *)@$thread)->Priority"),
    "~": ("0s", "{processor}s", "{processor}s; r", "{processor}s; k", "99s"),
    ".echo": ("hello",),
    ".formats": ("{ip}",),
    "dt": (
        "nt!_LIST_ENTRY",
        "nt!_KTHREAD",
        "nt!_KTHREAD {thread}",
        "nt!_EPROCESS {process}",
        "-v nt!_KTHREAD",
        "-b nt!_DISPATCHER_HEADER {thread}",
        "nt!_nothing",
        "nt!_K*",
    ),
    "ddt": ("nt!_KTHREAD {thread}", "nt!_EPROCESS {process}"),
    "help": ("", "k"),
    "k": ("", "n", "b", "v", "c", "f", "n 5", "L"),
    "lm": ("", "m nt", "vm nt", "a {ip}", "u", "o", "f", "n", "t", "1m n*", "v m {driver}", "m zz"),
    "ln": ("{ip}", "nt!KeBugCheckEx", "{sp}", "{base}"),
    "r": ("", "rip", "rip, rsp, efl", "cr3, cr8", "gdtr", "xmm0", "al, zf", "zzz", "$t0", "$ip", "$thread"),
    "u": ("{ip}", "{ip} L3", "nt!KeBugCheckEx L2", "0"),
    "ub": ("{ip}",),
    "uf": ("{ip}", "/c {ip}"),
    "di": ("", "-v"),
    "analyze": ("", "-v", "-show", "-hang"),
    "t": ("", "{thread}", "-a", "-av {thread}", "-v", "-c", "-raw", "ffff", "0"),
    "thread": ("", "{thread} 6", "{thread} 8", "-p"),
    "process": ("", "0 0", "{process} 7", "{process} 3", "4 0"),
    "handle": ("", "0 3 {process}"),
    "object": ("\\", "\\Device", "{process}", "{thread} 19"),
    "drvobj": ("{sp}", "{driver} 7"),
    "irp": ("", "{sp}", "{thread} 1"),
    "pte": ("{sp}", "{thread}", "{nt}", "0", "{sp} {sp}+2000"),
    "pool": ("", "{thread}", "{process} 2", "{sp}"),
    "poolused": ("", "2", "1 Mm*"),
    "poolfind": ("Thr*", "Proc"),
    "address": ("", "{sp}", "{ip}", "{thread}", "0"),
    "imports": ("{driver}", "-a {driver}", "nt"),
    "strings": ("-m {driver}", "{sp} L200", "-u {sp} L400"),
    "irqlcheck": ("", "{thread}", "{driver}"),
    "tl": ("", "-t", "-mem", "-cpu"),
    "lt": ("", "-a", "-a -wr WrQueue", "-v"),
    "us": ("", "-a", "-cpu"),
    "vtop": ("0 {sp}", "1ad000 {thread}", "0 0"),
    "ptov": ("0",),
    "svcreg": ("Ntfs",),
    "reg": ("hivelist", "-p \\REGISTRY\\MACHINE"),
    "error": ("c0000005", "5", "5 1", "zz"),
    "x": ("nt!KeB*", "nt!Ps*List*", "*!DriverEntry", "nt!zzz", "zz!a", "/v nt!KeBugCheckEx", "{driver}!"),
    "!sym": ("",),
}

#: What is asked of dumps whose whole comparison would show nothing that others do not.
SHORT = (
    *("? @$prcb", "? @$thread", "? @$proc", "r", "k 5", "lm 1", "lm u", "di", ".bugcheck", "r cr3, gdtr", ".exr -1"),
    *("~0s; k 3", "~1s; r rip", "dq @rsp L4", "dps @rsp L10", "u @rip L2", "irql", "t", ".thread", ".process"),
    *("analyze", "address @rsp", "pte @rsp", "dd fffff78000000000 L4", "imports nt"),
)

#: Commands that end a session, change where it looks for files or write some: nothing in them is a backend's.
LEFT_OUT = frozenset(
    "q qq qd quit exit n .writemem .logopen .logappend .logclose $$>< $>< $$>a< $>a< $< $$<"
    " .sympath .symfix .reload sym".split()
)


def lines_for(known: Mapping[str, str]) -> List[str]:
    """Every line of commands for a dump."""
    from dumpkit.registry import REGISTERED

    load_all()
    found = []
    for name in sorted(REGISTERED):
        is_own = REGISTERED[name].run.__module__.startswith("dumpkit.")
        if not is_own or name in LEFT_OUT or (REGISTERED[name].name != name and name not in ARGUMENTS):
            continue
        glue = "" if name in ("~", "k") else " "
        for arguments in ARGUMENTS.get(name, OTHERS):
            found.append(f"{name}{glue if arguments else ''}{arguments.format(**known)}")
    # What these show of symbols changes as other commands load them.
    return sorted(found, key=lambda line: SHOWS_STATES.match(line) is None)
