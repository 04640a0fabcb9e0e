"""Dumps of the same failure: as many as fell into one bucket."""

from __future__ import annotations

from dumpkit.record import Record
from dumpkit.triage.row import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple

#: Dumps that a group names as examples.
EXAMPLES = 3


class Group(Record):
    """A failure bucket and its dumps."""

    bucket: str
    hash: str
    count: int
    module: str
    #: The first dumps' paths, and the builds that it was seen on.
    examples: Tuple[str, ...]
    builds: Tuple[int, ...]


class Groups:
    """Counts dumps by bucket; what it keeps does not grow with the number of dumps, only with that of buckets."""

    def __init__(self) -> None:
        self._rows: Dict[str, Row] = {}
        self._counts: Dict[str, int] = {}
        self._examples: Dict[str, List[str]] = {}
        self._builds: Dict[str, set[int]] = {}
        #: Dumps that have no bucket, since they could not be read.
        self.bad = 0

    def add(self, row: Row) -> None:
        """Count a row in its bucket, or among those that could not be read."""
        bucket = row["bucket"]
        if bucket is None:
            self.bad += row["status"] == "bad"
            return
        self._rows.setdefault(bucket, row)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        examples = self._examples.setdefault(bucket, [])
        if len(examples) < EXAMPLES:
            examples.append(row["path"])
        if row["build"] is not None:
            self._builds.setdefault(bucket, set()).add(row["build"])

    def all(self) -> List[Group]:
        """The groups, the largest first; of two equal ones, by name."""
        return [
            Group(
                bucket,
                self._rows[bucket]["hash"] or "",
                count,
                self._rows[bucket]["module"] or "",
                tuple(self._examples[bucket]),
                tuple(sorted(self._builds.get(bucket, ()))),
            )
            for bucket, count in sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        ]
