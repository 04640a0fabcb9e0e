"""The capstone library, called directly.

`import capstone` executes the constants of every instruction set that capstone knows: 50 ms and
more, paid by every `r`. What is needed here is three functions of the C library that the package
brings along (cs_open, cs_disasm_iter, cs_malloc; the layout of cs_insn in capstone.h, version 5),
which ctypes reaches in 5 ms. Where that library is not found beside the package, or is another
major version, the package itself is imported and asked.
"""

from __future__ import annotations

import os
import sys

from dumpkit.errors import DumpkitError
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Any, Callable, Optional

    from typing_extensions import TypeAlias

#: cs_arch and cs_mode of capstone.h.
_ARCHITECTURES = {"x64": (3, 1 << 3), "ARM64": (1, 0)}
_MAJOR_VERSION = 5


class Decoded(NamedTuple):
    """What capstone says of one instruction: length in bytes, mnemonic and operands in Intel syntax."""

    size: int
    mnemonic: str
    operands: str


#: Decodes the first instruction of the bytes, which stand at a virtual address; None where they are no instruction.
Decoder: TypeAlias = "Callable[[bytes, int], Optional[Decoded]]"


def decoder(architecture: str) -> Decoder:
    """A decoder for "x64" or "ARM64". Raises DumpkitError where capstone is missing or cannot be loaded."""
    arch, mode = _ARCHITECTURES[architecture]
    library = _load()
    if library is None:
        return _package_decoder(arch, mode)
    return _library_decoder(library, arch, mode)


def _load() -> Optional[ctypes.CDLL]:
    """The C library beside the installed package, or None where there is none of the right version."""
    if sys.platform == "win32":
        name = "capstone.dll"
    else:
        name = "libcapstone.dylib" if sys.platform == "darwin" else "libcapstone.so"
    for folder in sys.path:
        # Neither pathlib nor importlib, whose imports alone would cost more than the library does.
        path = os.path.join(folder, "capstone", "lib", name)
        if not os.path.exists(path):
            continue
        try:
            import ctypes

            library = ctypes.CDLL(path)
            version = library.cs_version(None, None)
        except (ImportError, OSError, AttributeError):
            continue
        if version >> 8 == _MAJOR_VERSION:
            return library
    return None


def _library_decoder(library: ctypes.CDLL, arch: int, mode: int) -> Decoder:
    import ctypes

    class Insn(ctypes.Structure):
        """cs_insn of capstone.h, version 5."""

        _fields_ = (
            ("id", ctypes.c_uint),
            ("address", ctypes.c_uint64),
            ("size", ctypes.c_uint16),
            ("bytes", ctypes.c_uint8 * 24),
            ("mnemonic", ctypes.c_char * 32),
            ("op_str", ctypes.c_char * 160),
            ("detail", ctypes.c_void_p),
        )

    handle = ctypes.c_size_t()
    error = library.cs_open(arch, mode, ctypes.byref(handle))
    if error:
        raise DumpkitError(f"capstone cannot disassemble this architecture (error {error})")
    library.cs_malloc.argtypes = (ctypes.c_size_t,)
    library.cs_malloc.restype = ctypes.POINTER(Insn)
    step: Any = library.cs_disasm_iter
    step.argtypes = (ctypes.c_size_t,) + (ctypes.c_void_p,) * 4
    step.restype = ctypes.c_bool
    # Handle and instruction live as long as the process: there is one of each for an architecture.
    insn = library.cs_malloc(handle)[0]
    code_pointer, code_size, code_address = ctypes.c_char_p(), ctypes.c_size_t(), ctypes.c_uint64()
    arguments = (
        handle,
        ctypes.byref(code_pointer),
        ctypes.byref(code_size),
        ctypes.byref(code_address),
        ctypes.byref(insn),
    )

    def decode(code: bytes, address: int) -> Optional[Decoded]:
        code_pointer.value, code_size.value, code_address.value = code, len(code), address
        if not step(*arguments):
            return None
        return Decoded(insn.size, insn.mnemonic.decode("ascii"), insn.op_str.decode("ascii"))

    return decode


def _package_decoder(arch: int, mode: int) -> Decoder:
    try:
        import capstone  # type: ignore[import-untyped]
    except ImportError as error:
        raise DumpkitError(f"disassembly needs the package capstone: {error}") from error
    engine = capstone.Cs(arch, mode)

    def decode(code: bytes, address: int) -> Optional[Decoded]:
        for _, size, mnemonic, operands in engine.disasm_lite(code, address, 1):
            return Decoded(size, mnemonic, operands)
        return None

    return decode
