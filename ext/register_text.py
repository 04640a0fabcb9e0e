"""Register blocks as the engine prints them."""

from __future__ import annotations

from typing import Iterator

from dumpkit.registers import PARTS, X64, Context

_X64_ROWS = (
    ("rax", "rbx", "rcx"),
    ("rdx", "rsi", "rdi"),
    ("rip", "rsp", "rbp"),
    ("r8", "r9", "r10"),
    ("r11", "r12", "r13"),
    ("r14", "r15"),
)
_SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")

#: Flag bit -> (word when set, word when clear), in the order of the flags line. The engine has the words
#: for parity the other way round than Intel's manual (a set bit is even parity there); its text is kept.
_FLAG_WORDS = (
    (11, "ov", "nv"),
    (10, "dn", "up"),
    (9, "ei", "di"),
    (7, "ng", "pl"),
    (6, "zr", "nz"),
    (4, "ac", "na"),
    (2, "po", "pe"),
    (0, "cy", "nc"),
)


def flags_line(efl: int) -> str:
    """`iopl=0         nv up ei ng nz na po nc`."""
    words = " ".join(on if efl >> bit & 1 else off for bit, on, off in _FLAG_WORDS)
    interrupts = f"{'vip' if efl >> 20 & 1 else '':3} {'vif' if efl >> 19 & 1 else '':3}"
    return f"iopl={efl >> 12 & 3} {interrupts} {words}"


def _number(context: Context, name: str) -> str:
    """A 64-bit register in 16 digits, question marks where the context lacks it."""
    value = context.shown(name)
    return f"{value:016x}" if value is not None else "?" * 16


def _x64_lines(context: Context, segments: bool) -> Iterator[str]:
    for row in _X64_ROWS:
        yield " ".join(f"{name:>3}={_number(context, name)}" for name in row)
    efl = context.shown("efl") or 0
    yield flags_line(efl)
    if segments:
        selectors = "  ".join(f"{name}={context.shown(name) or 0:04x}" for name in _SEGMENTS)
        yield f"{selectors}             efl={efl:08x}"


def _arm64_lines(context: Context) -> Iterator[str]:
    names = [f"x{number}" for number in range(29)] + ["fp", "lr", "sp"]
    for start in range(0, len(names), 4):
        yield "  ".join(f"{name:>3}={_number(context, name)}" for name in names[start : start + 4])
    psr = context.shown("psr") or 0
    flags = "".join(letter if psr >> bit & 1 else "-" for letter, bit in (("N", 31), ("Z", 30), ("C", 29), ("V", 28)))
    yield f" pc={_number(context, 'pc')}  psr={psr:08x} {flags} EL{psr >> 2 & 3}"


def register_lines(context: Context, segments: bool = True) -> Iterator[str]:
    """The registers of a context as `r` prints them, without the instruction; `.trap` leaves the segments out."""
    if context.architecture is X64:
        return _x64_lines(context, segments)
    return _arm64_lines(context)


def register_text(context: Context, name: str) -> str:
    """One register as `r NAME` prints it: `rax=ffff850429891720`, `al=20`, `zf=0`. Raises RegisterError."""
    key = name.lower()
    value = context[key]
    architecture = context.architecture
    whole = architecture.aliases.get(key, key)
    if whole in architecture.layout:
        size = architecture.layout[whole][1]
        return f"{key}={_vector(value) if size == 16 else format(value, f'0{size * 2}x')}"
    part = PARTS[architecture.name].get(key)
    if part is None:
        # Control and descriptor-table registers, which a processor has and a CONTEXT has not.
        return f"{key}={value:016x}"
    return f"{key}={value:x}"


def _vector(value: int) -> str:
    """Four single floats, the highest first, as the engine shows xmm registers."""
    from struct import unpack

    from dumpkit.formats import engine_float

    floats = unpack("<4f", value.to_bytes(16, "little"))
    return " ".join(f"{engine_float(number):>12}" for number in reversed(floats))
