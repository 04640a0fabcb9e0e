"""Register blocks as the engine prints them."""

from __future__ import annotations

from dumpkit.registers import PARTS, X64, X87, Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional

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
    value = context.shown(context.architecture.aliases.get(name, name))
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
    floating = context.floating(key)
    if floating is not None:
        return _floating_text(key, floating)
    value = context[key]
    architecture = context.architecture
    whole = architecture.aliases.get(key, key)
    if whole in architecture.layout:
        size = architecture.layout[whole][1]
        return f"{key}={_vector(value) if size == 16 else format(value, f'0{size * 2}x')}"
    part = PARTS[architecture.name].get(key)
    if part is None:
        # Control and descriptor-table registers, which a processor has and a CONTEXT has not.
        return f"{key}={value:04x}" if key in _SELECTORS else f"{key}={value:016x}"
    return f"{key}={value:x}"


#: Registers of 16 bits that no CONTEXT has.
_SELECTORS = ("tr", "ldtr", "gdtl", "idtl")


def _floating_text(name: str, value: int) -> str:
    """An x87 or MMX register as `r NAME` prints it."""
    if not name.startswith("st"):
        return f"{name}={value:0{16 if name.startswith('mm') else 4}x}"
    sign, exponent = value >> 79, value >> 64 & 0x7FFF
    return f"{name}={extended(value, 116)} ({sign}:{exponent:04x}:{value & 0xFFFF_FFFF_FFFF_FFFF:016x})"


def extended(value: int, digits: int) -> str:
    """An 80-bit float in scientific notation, so many digits behind the point; a blank stands for no sign."""
    sign, exponent, mantissa = value >> 79, value >> 64 & 0x7FFF, value & 0xFFFF_FFFF_FFFF_FFFF
    mark = "-" if sign else " "
    if exponent == 0x7FFF:
        return f"{mark}1.#INF" if mantissa << 1 & 0xFFFF_FFFF_FFFF_FFFF == 0 else f"{mark}1.#QNAN"
    from decimal import Context as Precision
    from decimal import Decimal

    precise = Precision(prec=digits + 80)
    power = exponent - 16383 - 63
    number = precise.multiply(Decimal(mantissa), precise.power(Decimal(2), power)) if mantissa else Decimal(0)
    text, _, shown = (f"{number:.{digits}e}" if mantissa else f"0.{'0' * digits}e+0").partition("e")
    return f"{mark}{text}e{shown[0]}{shown[1:]:0>4}"


#: Display format of `r NAME:FORMAT` -> bytes of an element, and how wide a floating-point one is.
_FORMATS = {"ub": (1, 0), "uw": (2, 0), "ud": (4, 0), "uq": (8, 0), "f": (4, 12), "d": (8, 22)}
#: As above, in decimal: whether the numbers have a sign.
_DECIMALS = {"ib": (1, False), "iw": (2, False), "id": (4, True), "iq": (8, True)}
#: Digits of a double there.
_DOUBLE_DIGITS = 12


def formatted_register(context: Context, name: str, form: str, value: Optional[int] = None) -> str:
    """One register as `r NAME:FORMAT` prints it: elements, the highest first, of a size or of floating point.

    `form` is ub, uw, ud, uq, ib, iw, id, iq, f or d; `value` is given for what is no register. Raises RegisterError for
    a register that is not there, KeyError for another format.
    """
    key = name.lower()
    decimals = _DECIMALS.get(form.lower())
    size, width = (decimals[0], 0) if decimals is not None else _FORMATS[form.lower()]
    floating = context.floating(key) if value is None else None
    if value is None:
        value = context[key] if floating is None else floating
    architecture = context.architecture
    whole = X87.get(key) if floating is not None else architecture.layout.get(architecture.aliases.get(key, key))
    total = -(-max(whole[1] if whole is not None else 8, size) // size) * size
    data = value.to_bytes(total, "little")
    elements = [data[at : at + size] for at in range(total - size, -1, -size)]
    if decimals is not None:
        numbers = [int.from_bytes(element, "little", signed=decimals[1]) for element in elements]
        return f"{key}={' '.join(map(str, numbers))}"
    return f"{key}={' '.join(_element(element, width) for element in elements)}"


def _element(data: bytes, width: int) -> str:
    if not width:
        return f"{int.from_bytes(data, 'little'):0{2 * len(data)}x}"
    from struct import unpack

    from dumpkit.formats import engine_float

    if len(data) == 4:
        return f"{engine_float(unpack('<f', data)[0]):>{width}}"
    return f"{engine_float(unpack('<d', data)[0], _DOUBLE_DIGITS):>{width}}"


#: Bits of the mask of `rM`.
INTEGERS, SEGMENTS, DEBUG, XMM, CONTROL, DESCRIPTORS = 3, 8, 0x20, 0x40, 0x80, 0x100
FLOATING, MMX, XMM_INTEGERS = 0x4, 0x10, 0x800
#: AVX: known bits, but no dump's context holds those registers.
NOT_READ = 0x200 | 0x400
_MASKED_ROWS = {
    CONTROL: (("cr0", "cr2", "cr3"), ("cr8",)),
    DEBUG: (
        ("dr0", "dr1", "dr2"),
        ("dr3", "dr6", "dr7", "cr4"),
        ("kdr0", "kdr1", "kdr2"),
        ("kdr3", "kdr6", "kdr7"),
    ),
}


def _x87_lines(context: Context, mask: int) -> Iterator[str]:
    """The x87 and the MMX registers; a line that says so where the context does not hold them."""
    if not context.x87:
        yield "The x87 registers are not in this context."
        return
    if mask & FLOATING:
        words = {name: context.floating(name) or 0 for name in ("fpcw", "fpsw", "fptw")}
        yield "    ".join(f"{name}={value:04X}" for name, value in words.items())
        cells = [f"st{number}={extended(context.floating(f'st{number}') or 0, 21)}" for number in range(8)]
        yield from (f"{left}  {right}" for left, right in zip(cells[::2], cells[1::2]))
    if mask & MMX:
        cells = [f"mm{number}={context.floating(f'mm{number}') or 0:016x}" for number in range(8)]
        yield from (f"{left}  {right}" for left, right in zip(cells[::2], cells[1::2]))


def masked_lines(context: Context, mask: int) -> Iterator[str]:
    """The x64 registers of a mask as `rM MASK` prints them, without the instruction."""
    lines = list(_x64_lines(context, bool(mask & SEGMENTS)))
    if mask & INTEGERS:
        yield from lines
    elif mask & SEGMENTS:
        yield lines[-1]
    if mask & (FLOATING | MMX):
        yield from _x87_lines(context, mask)
    if mask & XMM:
        yield from (f"xmm{number}={_floats(context, number)}" for number in range(16))
    elif mask & XMM_INTEGERS:
        yield from (f"xmm{number}= {_halves(context, number)}" for number in range(16))
    for bit, rows in _MASKED_ROWS.items():
        if mask & bit:
            yield from (" ".join(f"{name}={_number(context, name)}" for name in row) for row in rows)
    if mask & DESCRIPTORS:
        shown = {name: context.shown(name) or 0 for name in ("gdtl", "idtl", "tr", "ldtr")}
        yield (
            f"gdtr={_number(context, 'gdtr')}   gdtl={shown['gdtl']:04x} idtr={_number(context, 'idtr')}"
            f"   idtl={shown['idtl']:04x} tr={shown['tr']:04x}  ldtr={shown['ldtr']:04x}"
        )


def _halves(context: Context, number: int) -> str:
    """An xmm register as two signed numbers, the highest first."""
    data = (context.shown(f"xmm{number}") or 0).to_bytes(16, "big")
    return f"{int.from_bytes(data[:8], 'big', signed=True)} {int.from_bytes(data[8:], 'big', signed=True)}"


def _floats(context: Context, number: int) -> str:
    """An xmm register as four single floats, the highest first."""
    return " ".join(_vector(context.shown(f"xmm{number}") or 0).split())


def _vector(value: int) -> str:
    """Four single floats, the highest first, as the engine shows xmm registers."""
    from struct import unpack

    from dumpkit.formats import engine_float

    floats = unpack("<4f", value.to_bytes(16, "little"))
    return " ".join(f"{engine_float(number):>12}" for number in reversed(floats))
