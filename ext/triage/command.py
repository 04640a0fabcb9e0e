"""The call `dumpkit triage PATH...`."""

from __future__ import annotations

import os
import sys
from json import dumps

from dumpkit.calls import read_call, read_number, usage
from dumpkit.errors import CommandError
from dumpkit.output import Output
from dumpkit.record import Record
from dumpkit.triage.groups import Groups
from dumpkit.triage.known import KnownRows
from dumpkit.triage.row import Row, is_lasting, row_of
from dumpkit.triage.sources import Source, find_sources
from dumpkit.triage.text import group_lines, row_line, width_of
from dumpkit.triage.workers import Settings, rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Sequence, Tuple

#: Exit statuses: some dump could not be read; there is none.
BAD, NOTHING = 1, 2


class TriageOptions(Record):
    """What a call asks for."""

    paths: Tuple[str, ...]
    json: bool = False
    html: Optional[str] = None
    symbols: Optional[str] = None
    offline: bool = False
    jobs: int = 0
    limit: float = 300.0
    #: Look at dumps again whose rows are known.
    again: bool = False


def read_triage_options(words: Sequence[str]) -> TriageOptions:
    """The options of a call. Raises CommandError with the usage."""
    values, paths = read_call("triage", words)
    if not paths:
        raise CommandError("the path of a dump, a folder or an archive is missing", usage("triage"))
    values["jobs"] = int(read_number(values, "jobs", "-j", "triage", 0))
    values["limit"] = read_number(values, "limit", "--limit", "triage", TriageOptions.limit)
    return TriageOptions(tuple(paths), **values)


def triaged(sources: Sequence[Source], options: TriageOptions) -> Iterator[Row]:
    """The rows of sources, in their order: those that are known as they are, the others as they are computed."""
    settings = Settings(options.symbols, options.offline, options.limit)
    store = KnownRows(options.symbols)
    unknown = [index for index, source in enumerate(sources) if options.again or not store.has(source)]
    computed = rows([sources[index] for index in unknown], settings, options.jobs or os.cpu_count() or 1)
    is_unknown = set(unknown)
    done: Dict[int, Row] = {}
    for index, source in enumerate(sources):
        row = None if index in is_unknown else store.get(source)
        while row is None and index in is_unknown and index not in done:
            at, computed_row = next(computed)
            if is_lasting(computed_row):
                store.put(sources[unknown[at]], computed_row)
            done[unknown[at]] = computed_row
        # A known row may have been deleted meanwhile.
        yield row or done.pop(index, None) or row_of(source, settings.symbols, settings.offline)
    store.prune()


def main(words: Sequence[str], output: Output) -> int:
    """Run the call; the exit status. Raises CommandError with the usage."""
    options = read_triage_options(words)
    if options.html is not None:
        from dumpkit.report.command import check_target

        check_target(options.html)
    sources = list(find_sources(options.paths))
    if not sources:
        raise CommandError(f"no dump in {', '.join(options.paths)}")
    progress = _Progress(len(sources)) if sys.stderr.isatty() and not sys.stdout.isatty() else None
    groups = Groups()
    kept: List[Row] = []
    width = width_of([source.name for source in sources])
    for row in triaged(sources, options):
        groups.add(row)
        if options.html is not None:
            kept.append(row)
        output.line(dumps(row) if options.json else row_line(row, width))
        output.flush()
        if progress is not None:
            progress.step()
    if not options.json:
        output.lines(group_lines(groups.all(), groups.bad, len(sources)))
    if options.html is not None:
        from dumpkit.report.command import write_page
        from dumpkit.report.folder_page import folder_page

        write_page(options.html, folder_page(kept, groups.all()))
    return BAD if groups.bad else 0


class _Progress:
    """How many dumps are done, on standard error, where rows go elsewhere than to the terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def step(self) -> None:
        self._done += 1
        end = "\n" if self._done == self._total else ""
        sys.stderr.write(f"\r{self._done} of {self._total} dumps{end}")
        sys.stderr.flush()
