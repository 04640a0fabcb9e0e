r"""`!mex.mreg`, `!svcreg` and `!cn`: keys of the registry, the key of a service, and the computer's name."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.hive import Data, Key, Registry, RegistryValue, computer_name
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Option, Word, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple, Union

_USAGE = "reg -p PATH | reg hivelist"
_SERVICES = "\\REGISTRY\\MACHINE\\SYSTEM\\CurrentControlSet\\Services\\"
#: Bytes that are shown of a value without a form of its own.
_SHOWN_BYTES = 32


class SubKey(Record):
    """A key below another; the virtual address of its node, in the registry's address space."""

    address: Hex
    name: str


class ShownValue(Record):
    """A value of a key."""

    type: str
    name: str
    data: Data


class RegistryKey(Record):
    """A key with what is in it; addresses are virtual, in the registry's address space."""

    path: str
    #: The _CM_KEY_CONTROL_BLOCK of the open key; None where it has none.
    control_block: Optional[Hex]
    hive: Hex
    node: Hex
    subkeys: Tuple[SubKey, ...]
    values: Tuple[ShownValue, ...]
    #: What of it could not be read, and why.
    problems: Tuple[str, ...]


class HiveFacts(Record):
    """A hive: the virtual address of its _CMHIVE, where it is mounted, and its file."""

    address: Hex
    path: str
    file: str


class HiveList(Record):
    """The hives in the kernel's order."""

    hives: Tuple[HiveFacts, ...]
    problem: str = ""


class ComputerName(Record):
    """The machine's name; None where the dump does not tell."""

    name: Optional[str]
    problem: Optional[str] = None


def _shown(value: ShownValue) -> str:
    data = value.data
    if isinstance(data, str):
        return data
    if isinstance(data, int):
        return f"{data:x}"
    if isinstance(data, tuple):
        return " ".join(data)
    text = data[:_SHOWN_BYTES].hex(" ")
    return f"{text} ... ({len(data)} bytes)" if len(data) > _SHOWN_BYTES else text


def registry_lines(result: Union[RegistryKey, HiveList]) -> Iterator[Line]:
    if isinstance(result, HiveList):
        yield f"{'Hive':<17}{'Path':<50}File"
        for hive in result.hives:
            yield (
                Span(f"{hive.address:016x}", "address", f"dt nt!_CMHIVE {hive.address:x}"),
                f" {hive.path:<50}{hive.file}",
            )
        if result.problem:
            yield (Span(f"The list of hives is not whole: {result.problem}", "warning"),)
        return
    yield from ("", "")
    if result.control_block is not None:
        yield f"Found KCB = {result.control_block:016x} :: {result.path.upper()}"
    else:
        yield f"Sorry {result.path} is not cached"
        yield "=" * 91
        yield "Falling back to traversing the tree of nodes."
    yield ""
    yield f"Hive         {result.hive:016x}"
    yield f"KeyNode      {result.node:016x}"
    if result.subkeys:
        yield ""
        yield "[SubKeyAddr]         [SubKeyName]"
        for key in result.subkeys:
            yield (Span(f"{key.address:<21x}", "address"), Span(key.name, None, f'reg -p "{result.path}\\{key.name}"'))
    if result.values:
        yield ""
        yield f"{'[ValueType]':<20}{'[ValueName]':<30}[ValueData]"
        for value in result.values:
            yield f"{value.type:<20}{value.name or '(Default)':<30}{_shown(value)}"
    for problem in result.problems:
        yield (Span(problem, "warning"),)


def _key(registry: Registry, key: Key, path: str) -> RegistryKey:
    subkeys, values, problems = [], [], []
    try:
        for below in key.subkeys():
            subkeys.append(SubKey(Hex(below.address), below.name))
    except DumpkitError as error:
        problems.append(f"Its subkeys are not all there: {error}")
    try:
        for value in key.values():
            values.append(_value(value))
    except DumpkitError as error:
        problems.append(f"Its values are not all there: {error}")
    block = registry.cached_key(key)
    return RegistryKey(
        path,
        Hex(block) if block is not None else None,
        Hex(key.hive.address),
        Hex(key.address),
        tuple(subkeys),
        tuple(values),
        tuple(problems),
    )


def _value(value: RegistryValue) -> ShownValue:
    return ShownValue(value.type, value.name, value.data)


def _open(session: Session, name: str, path: str) -> RegistryKey:
    try:
        registry = Registry(session.dump)
        key = registry.open(path)
        return _key(registry, key, key.path or path)
    except DumpkitError as error:
        raise CommandError(f"{name}: {error}") from error


@command(
    "reg",
    aliases=("mreg",),
    category="Kernel",
    summary="A key of the registry, or its hives",
    arguments=(
        Option("path", ("-p",), "the key's whole path, in quotes where it has spaces"),
        Word("what", "hivelist: every hive", holds="nothing"),
    ),
    render=registry_lines,
)
def reg(session: Session, path: Optional[str] = None, what: Optional[str] = None) -> Union[RegistryKey, HiveList]:
    r"""Shows a key of the registry: its subkeys and its values.

    reg -p \REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Services\Ntfs
    reg hivelist

    Keys are read from the hives in memory. From Windows 10 1803 on those lie in the address space of the
    process Registry: full dumps have it, kernel dumps and minidumps do not.
    """
    if (path is None) == (what is None) or (what is not None and what.lower() != "hivelist"):
        raise CommandError("reg: the path of a key is wanted, or hivelist", _USAGE)
    if path is not None:
        return _open(session, "reg", path if path.startswith("\\") else f"\\{path}")
    try:
        registry = Registry(session.dump)
        hives = tuple(HiveFacts(Hex(each.address), each.path, each.file) for each in registry.hives())
    except DumpkitError as error:
        raise CommandError(f"reg: {error}") from error
    return HiveList(hives, registry.ended)


@command(
    "svcreg",
    category="Kernel",
    summary="The registry key of a service or driver",
    arguments=(Word("name", "the service's name", required=True, holds="nothing"),),
    render=registry_lines,
)
def svcreg(session: Session, name: str) -> RegistryKey:
    r"""Shows the key below Services of a service or driver; see `reg` for which dumps have the registry."""
    return _open(session, "svcreg", _SERVICES + name)


def computer_name_lines(result: ComputerName) -> Iterator[Line]:
    yield f"Computer Name: {result.name or ' Not Found'}"
    if result.problem is not None:
        yield (Span(result.problem, "dim"),)


@command(
    "cn",
    aliases=("computername",),
    category="Dump",
    summary="The computer's name",
    render=computer_name_lines,
)
def cn(session: Session) -> ComputerName:
    """Shows the name of the computer, as its registry has it in memory; where it is not there, why not."""
    try:
        return ComputerName(computer_name(session.dump))
    except DumpkitError as error:
        return ComputerName(None, str(error))
