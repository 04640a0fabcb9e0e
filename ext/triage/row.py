"""The row of one dump: what `dumpkit triage --json` writes.

Every field but `schema`, `path` and `status` may be null; numbers of addresses and codes are strings "0x…"; times are
ISO 8601 in UTC, durations seconds. Names are added, never changed or taken away within a version of the schema.
"""

from __future__ import annotations

from dumpkit.clock import Zone, from_filetime
from dumpkit.errors import DumpkitError
from dumpkit.functions import partial
from dumpkit.library import Dump, open_dump
from dumpkit.output import Hex, data, plain
from dumpkit.triage.sources import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence

    from dumpkit.kernel.analysis.crash_analysis import CrashAnalysis
    from typing_extensions import TypeAlias

SCHEMA = "dumpkit.triage/1"

#: Frames of the stack that a row keeps.
_MOST_FRAMES = 40

#: A row as JSON has it.
Row: TypeAlias = "Dict[str, Any]"

#: field -> what it is; in the order in which they are written. The documentation is made of it.
FIELDS = {
    "schema": "the version of this format",
    "path": "the dump's file, or the archive that holds it",
    "member": "the dump's name in its archive",
    "status": "ok: analysed; partial: with the notes' reservations; bad: not a dump that can be read, see error",
    "error": "why a bad dump could not be read",
    "kind": "what sort of dump",
    "architecture": "x64 or ARM64",
    "build": "the kernel's build number",
    "version": "10.0.BUILD.REVISION, as far as the dump tells the revision",
    "processors": "how many processors the machine had",
    "time": "when the machine stopped",
    "uptime": "seconds since it was started",
    "computer": "the computer's name",
    "bugcheck": "code, name and the four arguments",
    "process": "the process that was current",
    "module": "the module that is blamed, by the debugger's name",
    "image": "its file",
    "symbol": "the place in it",
    "bucket": "the failure bucket",
    "hash": "the failure bucket's hash",
    "irql": "what the IRQL contracts say of the stack, in one line",
    "irql_cause": "the module whose call broke an IRQL contract first",
    "stack": "call sites from the failing context outwards",
    "notes": "what is damaged or missing, one line each",
}


def bad_row(source: Source, reason: str) -> Row:
    """The row of a dump that could not be read."""
    return _row(source, status="bad", error=reason)


def _row(source: Source, **known: Any) -> Row:
    row: Row = dict.fromkeys(FIELDS)
    row.update(schema=SCHEMA, path=source.path, member=source.member.name if source.member is not None else None)
    row.update(known)
    return row


def row_of(source: Source, symbols: Optional[str] = None, offline: bool = False) -> Row:
    """Look at a dump. A defect of dumpkit's own is told as the reason, too: a run of thousands must not end by it."""
    try:
        with source.opened() as path, open_dump(path, symbols=symbols, offline=offline) as dump:
            return _read(source, dump)
    except DumpkitError as error:
        return bad_row(source, str(error))
    except Exception as error:  # noqa: BLE001 - the last place where it can be put into words
        from dumpkit.defects import defect_line

        return bad_row(source, defect_line(error))


def is_lasting(row: Row) -> bool:
    """Whether a row will be the same the next time: true of dumps, not of files that could not be read today."""
    return bool(row["status"] != "bad")


def _read(source: Source, dump: Dump) -> Row:
    """The row of an open dump: each part that fails leaves its fields null and a note."""
    target = dump.target
    system = target.system
    row = _row(
        source,
        status="ok",
        kind=target.kind,
        architecture=target.architecture.name,
        build=system.build,
        processors=system.processors,
        time=_time(system.system_time),
        uptime=round(system.uptime / 10_000_000, 3) if system.uptime is not None else None,
    )
    notes = list(target.notes)
    # What _crash finds; the stack that it walks is the one that _irql looks at.
    analyses: List[CrashAnalysis] = []
    for read in (_computer, partial(_crash, analyses=analyses), partial(_irql, analyses=analyses)):
        try:
            row.update(read(dump))
        except DumpkitError as error:
            notes.append(str(error))
    row["notes"] = notes
    if notes:
        row["status"] = "partial"
    return row


def _time(filetime: Optional[int]) -> Optional[str]:
    return from_filetime(filetime, Zone()).iso() if filetime else None


def _computer(dump: Dump) -> Row:
    from dumpkit.kernel.machine import machine_facts

    return {"computer": machine_facts(dump.target).computer_name}


def _crash(dump: Dump, analyses: List[CrashAnalysis]) -> Row:
    """What `analyze` finds, put into `analyses` too. Raises DumpkitError."""
    from dumpkit.kernel.analysis.crash_analysis import CrashAnalyzer

    bugcheck = dump.target.bugcheck
    if bugcheck is None:
        return {}
    found = CrashAnalyzer(dump.target, bugcheck.code, bugcheck.parameters).analyze()
    analyses.append(found)
    culprit = found.culprit
    arguments = [Hex(parameter) for parameter in bugcheck.parameters]
    frames = found.failing.frames[found.failing.fault :] if found.failing is not None else ()
    return {
        "bugcheck": data({"code": Hex(bugcheck.code), "name": found.bugcheck.name, "arguments": arguments}),
        "version": found.version,
        "process": found.process,
        "module": culprit.module,
        "image": culprit.image,
        "symbol": f"{culprit.symbol}+{culprit.offset:x}" if culprit.offset is not None else None,
        "bucket": found.bucket,
        "hash": found.bucket_hash,
        "stack": [_call_site(dump, frame.instruction_pointer) for frame in frames[:_MOST_FRAMES]],
    }


def _call_site(dump: Dump, address: int) -> str:
    place = dump.target.symbols.nearest(address)
    return str(place) if place is not None else f"0x{address:x}"


def _irql(dump: Dump, analyses: Sequence[CrashAnalysis]) -> Row:
    """The verdict on the stack that was analysed; on the crashing processor's where none was. Raises DumpkitError."""
    from dumpkit.commands.irqlcheck import verdict_lines
    from dumpkit.kernel.irql_verdict import irql_verdict

    frames = next((found.failing.frames for found in analyses if found.failing is not None), None)
    verdict = irql_verdict(dump.target, frames)
    if verdict is None:
        return {}
    cause = verdict.cause.module if verdict.cause is not None else None
    return {"irql": plain(next(iter(verdict_lines(verdict)))), "irql_cause": cause}
