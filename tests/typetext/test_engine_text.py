from __future__ import annotations

import re
from typing import List

import pytest
from dumpkit.typetext.dump import TypeDump
from dumpkit.typetext.request import parse
from dumpkit.typetext.values import Value

from tests.typetext import lab

SAID = lab.engine_text()

# What this engine cannot show: characters of C++11, long double, pointers to members; and w2 begins with a symbol
# that the C library under it does not take for printable.
UNKNOWN_TO_THE_ENGINE = re.compile(r" (p16|p32|a16|c16|c32|ld|pm|mp|w2|x3) +:")


def dumped(command: str) -> List[str]:
    request = parse(command.split(" ", 1)[1])
    type, address = lab.VARIABLES.get(request.bare_name, (None, None))
    if type is None:
        type = lab.TYPES[request.bare_name]
        address = None if request.address is None else int(request.address, 16)
    return list(TypeDump(request, Value(lab.reader(), type, address)).lines())


def comparable(lines: List[str]) -> List[str]:
    kept = []
    skipping = False
    for line in lines:
        # The elements of what is left out, and the empty line behind the engine's own error.
        if skipping and (re.match(r" +\[\d\d\] ", line) or not line):
            continue
        skipping = bool(UNKNOWN_TO_THE_ENGINE.search(line))
        if not skipping:
            kept.append(line)
    return kept


@pytest.mark.parametrize("command", SAID)
def test_the_text_of_dt_is_the_engines(command):
    assert comparable(dumped(command)) == comparable(SAID[command])
