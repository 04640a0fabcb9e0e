"""`dumpkit check FILE…`: what each file still holds, as dumpchk tells it."""

from __future__ import annotations

from dumpkit.calls import read_call, usage
from dumpkit.dump import open_dump
from dumpkit.dump.check import DumpCheck, check_dump
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Output, Span, data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Sequence

#: Exit statuses: something is damaged or missing; a file is no dump that can be read.
DAMAGED, UNUSABLE = 1, 2


def check_lines(found: DumpCheck) -> Iterator[Line]:
    """A check as text."""
    yield (Span(found.path, "heading"),)
    yield f"    {found.kind} (type {found.dump_type}), {found.file_size:,} bytes"
    yield f"    Windows build {found.build}, {found.machine}, {found.processors} processors"
    if found.bugcheck is not None:
        arguments = " ".join(quoted(argument) for argument in found.bugcheck.parameters)
        yield f"    Bugcheck {found.bugcheck.code:X}: {arguments}"
    yield f"    {found.modules} loaded images, {found.unloaded_modules} unloaded"
    registers = ", ".join(str(number) for number in found.registers) or "none"
    yield f"    Registers of processors: {registers}"
    yield f"    Memory: {found.memory_size:,} bytes in {found.memory_pieces:,} pieces"
    for part in found.parts:
        state = "" if part.is_whole else f"; {part.size - part.available:,} bytes lie beyond the end of the file"
        yield f"    {part.name:<24} at 0x{part.offset:<8x} {part.size:>14,} bytes{state}"
    for blob in found.tagged:
        yield f"    tagged data {{{blob.guid}}} at 0x{blob.offset:x} {blob.size:,} bytes"
    for note in found.notes:
        yield (Span(f"    Note: {note}", "warning"),)
    yield "    Whole: nothing is damaged or missing" if found.is_whole else "    Damaged or incomplete, see above"


def _check_data(found: DumpCheck) -> Dict[str, object]:
    """A check as JSON can hold it, the stop code in hexadecimal."""
    record: Dict[str, object] = {**data(found), "is_whole": found.is_whole}
    if found.bugcheck is not None:
        code, parameters = found.bugcheck
        record["bugcheck"] = data({"code": Hex(code), "arguments": [Hex(parameter) for parameter in parameters]})
    return record


def main(words: Sequence[str], output: Output) -> int:
    """The call `dumpkit check FILE... [--json]`; the exit status. Raises CommandError with the usage."""
    values, files = read_call("check", words)
    if not files:
        raise CommandError("the path of a dump is missing", usage("check"))
    return run_check(files, output, "json" in values)


def run_check(files: Sequence[str], output: Output, as_data: bool) -> int:
    """Check files one after the other; the exit status, the worst of theirs."""
    status = 0
    for path in files:
        try:
            target = open_dump(path)
            found = check_dump(target)
        except DumpkitError as error:
            status = UNUSABLE
            _write(output, as_data, {"path": path, "error": str(error)}, [f"{path}", f"    {error}"])
            continue
        if not found.is_whole:
            status = max(status, DAMAGED)
        _write(output, as_data, _check_data(found), list(check_lines(found)))
        target.close()
    return status


def _write(output: Output, as_data: bool, found: object, lines: List[Line]) -> None:
    if as_data:
        from json import dumps

        output.line(dumps(data(found)))
    else:
        output.lines(lines)
