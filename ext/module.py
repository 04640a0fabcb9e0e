"""The images of a target, loaded and unloaded, as its loader recorded them."""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple


class Module(NamedTuple):
    """A loaded image. `base` is a virtual address, `size` SizeOfImage in bytes."""

    base: int
    size: int
    #: The debugger's name, as in `nt!`; unique in a target.
    name: str
    #: File name as the debugger shows it ("ntoskrnl.exe").
    image_name: str
    #: Path as the loader recorded it ("\\SystemRoot\\system32\\ntoskrnl.exe").
    image_path: str
    #: TimeDateStamp of the PE header: seconds since 1970, or a reproducible build's hash.
    timestamp: int
    #: CheckSum of the PE header.
    checksum: int

    @property
    def end(self) -> int:
        """First address behind the image."""
        return self.base + self.size

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.base <= address < self.base + self.size

    def __repr__(self) -> str:
        return f"<Module {self.name} {self.base:016x} {self.end:016x} {self.image_name}>"


class UnloadedModule(NamedTuple):
    """An image that was unloaded before the crash: `[base, end)` are the virtual addresses it had."""

    base: int
    end: int
    name: str
    #: FILETIME of the unload, 0 where the dump does not say.
    time: int = 0
