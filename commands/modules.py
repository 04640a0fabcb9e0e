"""`lm`: the loaded and unloaded images."""

from __future__ import annotations

from dumpkit.clock import Zone, link_time
from dumpkit.errors import CommandError
from dumpkit.module import Module, UnloadedModule
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target
from dumpkit.wildcards import matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Optional, Tuple, Union

_HEADING = "start             end                 module name"
#: The language and code page pairs that the engine looks for in version resources.
_TRANSLATIONS = "    Translations:     0000.04b0 0000.04e4 0409.04b0 0409.04e4"


#: The states of images that were asked for symbols and have none of their own.
_WITHOUT_SYMBOLS = ("no symbols", "export symbols")
#: Letters for a file in place of the symbol state; the last one given counts.
_FILES = "fnp"


class LoadedModule(Record):
    """A row of `lm`; addresses are virtual, `end` is the first one behind the image."""

    start: Hex
    end: Hex
    name: str
    image_name: str
    image_path: str
    timestamp: Hex
    checksum: Hex
    #: "deferred", "no symbols", "pdb symbols" …
    symbols: str
    #: The symbol file, where one is loaded.
    symbol_file: Optional[str] = None
    #: M for mismatched symbols, T for an image that nothing verifies, "" for neither.
    flag: str = ""
    #: How the symbols were matched, or why there are none; None where there is nothing to say.
    remark: Optional[str] = None
    #: The file of the image, where one was found.
    image_file: Optional[str] = None


class UnloadedRow(Record):
    """A row of the unloaded list."""

    start: Hex
    end: Hex
    name: str


class ModuleList(Record):
    """What `lm` shows; `unloaded` is None where it was not asked for."""

    modules: Tuple[LoadedModule, ...]
    unloaded: Optional[Tuple[UnloadedRow, ...]]
    _options: str = ""
    _zone: Zone = Zone()


class _Query:
    """The options of one call: letters, `a ADDRESS`, `m PATTERN` and `M PATTERN`, in any order."""

    letters = "1Dcefiklnoptuv"

    def __init__(self, session: Session, text: str) -> None:
        self.options = ""
        self.address: Optional[int] = None
        self.pattern: Optional[str] = None
        #: Whether the pattern is for the image's path instead of the module's name.
        self.by_path = False
        while text:
            letter, rest = text[0], text[1:].lstrip()
            if letter == "a":
                self.address, text = session.evaluate_prefix(rest)
                text = text.lstrip()
            elif letter in "mM":
                self.pattern, text = _pattern(letter, rest)
                self.by_path = letter == "M"
            elif letter in self.letters:
                self.options += letter
                text = rest
            else:
                raise CommandError(
                    f"lm: unknown option '{letter}'", "lm[1cefklnoptuv] [a ADDRESS] [m NAME-PATTERN] [M PATH-PATTERN]"
                )

    def lists(self, module: Module, target: Target) -> bool:
        """Whether a loaded image is asked for."""
        if not self._accepts(module, module.image_path if self.by_path else module.name):
            return False
        state = target.symbols.state(module)
        if "l" in self.options and state == "deferred":
            return False
        return "e" not in self.options or state in _WITHOUT_SYMBOLS or bool(target.symbols.flag(module))

    def lists_unloaded(self, gone: UnloadedModule) -> bool:
        """Whether an unloaded image is asked for. Its path is not known: patterns for one are held against its name."""
        return self._accepts(gone, gone.name)

    def _accepts(self, image: Union[Module, UnloadedModule], subject: str) -> bool:
        if self.address is not None and not image.base <= self.address < image.end:
            return False
        if self.pattern is not None and not matches(subject, self.pattern):
            return False
        # User-mode images stand below the middle of the address space.
        is_kernel = image.base >> 63 == 1
        return not ("u" in self.options and is_kernel) and not ("k" in self.options and not is_kernel)


def _pattern(letter: str, text: str) -> Tuple[str, str]:
    """The pattern that begins a text, out of its double quotes where it has them, and what follows it."""
    if text.startswith('"'):
        pattern, _, rest = text[1:].partition('"')
    else:
        pattern, _, rest = text.partition(" ")
    if not pattern:
        raise CommandError(f"lm: {letter} needs a pattern behind it, as in lm {letter} nt*")
    return pattern, rest.lstrip()


def _state(row: LoadedModule) -> str:
    """The symbol state in its column, the symbol file behind it."""
    state = f"{row.flag or ' '} {'(' + row.symbols + ')':<23}"
    return f"{state}{row.symbol_file}" if row.symbol_file else state


def _row(row: LoadedModule, options: str, zone: Zone) -> Line:
    place = f"{quoted(row.start)} {quoted(row.end)}   "
    name = Span(f"{row.name:<8}", "symbol", f"lmvm {row.name}")
    # The details say these too.
    date = f" {link_time(row.timestamp, zone)}" if "t" in options and "v" not in options else ""
    checksum = f" {row.checksum:08X}" if "c" in options and "v" not in options else ""
    letter = next((letter for letter in reversed(options) if letter in _FILES), None)
    if letter is not None:
        return (place, name, f" {_file(row, letter):<12}{date}{checksum}")
    if "t" in options:
        return (place, name, f" {date}{checksum}")
    return (place, name, f" {_state(row)}{checksum}")


def _file(row: LoadedModule, letter: str) -> str:
    """The path in the target, the name, or the file here that an image's memory is mapped from."""
    if letter == "p":
        return row.image_file or "<none>"
    return row.image_path if letter == "f" else row.image_name


def _details(row: LoadedModule, zone: Zone) -> Iterator[str]:
    if row.symbols != "deferred":
        yield f"    Loaded symbol image file: {row.image_name}"
    if row.image_file is not None:
        yield f"    Mapped memory image file: {row.image_file}"
    if row.remark is not None:
        yield f"    Symbols: {row.remark}"
    yield f"    Image path: {row.image_path}"
    yield f"    Image name: {row.image_name}"
    yield f"    Timestamp:        {link_time(row.timestamp, zone)}"
    yield f"    CheckSum:         {row.checksum:08X}"
    yield f"    ImageSize:        {row.end - row.start:08X}"
    yield _TRANSLATIONS


def module_lines(result: ModuleList) -> Iterator[Line]:
    options, zone = result._options, result._zone
    if "1" in options:
        yield from (row.name for row in result.modules)
        yield from (gone.name for gone in result.unloaded or ())
        return
    yield (Span(_HEADING, "heading"),)
    for row in result.modules:
        yield _row(row, options, zone)
        if "v" in options:
            yield from _details(row, zone)
    if not result.unloaded:
        return
    yield ""
    yield (Span("Unloaded modules:", "heading"),)
    for gone in result.unloaded:
        yield f"{quoted(gone.start)} {quoted(gone.end)}   {gone.name:<8}"
        if "v" in options or "t" in options:
            yield "    Timestamp: unavailable (00000000)"
            yield "    Checksum:  00000000"
            yield f"    ImageSize:  {gone.end - gone.start:08X}"


def module_rows(target: Target, modules: Iterable[Module]) -> Tuple[LoadedModule, ...]:
    """The rows of some modules, with what is known of their symbols by now."""
    symbols = target.symbols
    return tuple(
        LoadedModule(
            Hex(module.base),
            Hex(module.end),
            module.name,
            module.image_name,
            module.image_path,
            Hex(module.timestamp),
            Hex(module.checksum),
            symbols.state(module),
            symbols.symbol_file(module),
            symbols.flag(module),
            symbols.remark(module) or None,
            symbols.image_file(module),
        )
        for module in modules
    )


@command(
    "lm",
    category="Modules",
    summary="Loaded and unloaded images",
    arguments=(Text("query", "options and patterns, as below", holds="module"),),
    render=module_lines,
    glued=True,
)
def lm(session: Session, query: str = "") -> ModuleList:
    """Lists the loaded images by address, and the unloaded ones, newest first.

    lm m PATTERN   names that match (* ? [] # + in any case); lm M PATTERN the path
    lm a ADDRESS   the image that holds an address
    v  details     f  full paths     n  image names     t  timestamps
    c  checksums   p  files that the images were found in    1  bare names
    k  kernel only     u  user only     o  loaded images only
    l  those whose symbols were looked for    e  those of them without symbols, or with a doubt about them

    The letters may stand together: lmvm nt, lm1m usb*. Quotes around a pattern let it hold spaces.
    """
    target = session.dump
    wanted = _Query(session, query)
    listed = [module for module in target.modules if wanted.lists(module, target)]
    unloaded = None
    if not any(letter in wanted.options for letter in "loe"):
        gone = filter(wanted.lists_unloaded, target.unloaded_modules)
        unloaded = tuple(UnloadedRow(Hex(each.base), Hex(each.end), each.name) for each in gone)
    return ModuleList(module_rows(target, listed), unloaded, wanted.options, session.zone)
