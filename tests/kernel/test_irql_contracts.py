"""The table of IRQL contracts."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from dumpkit.kernel import irql_contracts
from dumpkit.kernel.irql_contracts import ANY_LEVEL, contract

PROJECT = Path(__file__).resolve().parents[2]


def rows() -> list:
    lines = Path(irql_contracts._TABLE).read_text("ascii").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def test_every_row_of_the_table_is_found_by_its_name():
    assert len(rows()) > 3900
    for name, minimum, maximum, remarks, header in rows():
        found = contract(name)
        assert found is not None
        assert (found.routine, found.minimum, found.maximum) == (name, int(minimum), int(maximum))
        assert (found.see_remarks, found.header) == (remarks == "1", header)
        assert found.source == "Microsoft's DDI reference"


def test_levels_are_in_order_and_names_are_there_once():
    names = [row[0] for row in rows()]
    assert names == sorted(set(names))
    assert all(0 <= int(row[1]) <= int(row[2]) <= ANY_LEVEL for row in rows())


@pytest.mark.parametrize(
    ("name", "documented"),
    [
        ("KzRaiseIrql", "KeRaiseIrql"),
        ("KfRaiseIrql", "KeRaiseIrql"),
        ("KzLowerIrql", "KeLowerIrql"),
        ("IofCompleteRequest", "IoCompleteRequest"),
    ],
)
def test_an_alias_has_the_documented_routines_contract_and_says_so(name: str, documented: str):
    found, other = contract(name), contract(documented)
    assert found is not None and other is not None
    assert found[:5] == other[:5]
    assert found.source == f"Microsoft's DDI reference, {documented}"


def test_a_service_that_is_documented_under_one_of_its_names_has_the_other_ones_contract():
    names = {row[0] for row in rows()}
    only_zw = next(name for name in sorted(names) if name.startswith("Zw") and "Nt" + name[2:] not in names)
    found = contract("Nt" + only_zw[2:])
    assert found is not None
    assert found.routine == only_zw
    assert only_zw in found.source


@pytest.mark.parametrize("name", ["", "RtlInitUnicodeString", "ZwCreateFil", "ZwCreateFileX", "wdm.h", "routine", "é"])
def test_a_routine_that_is_not_listed_is_unknown(name: str):
    assert contract(name) is None


def test_the_walkthroughs_routines_have_their_contracts():
    create, mutex = contract("ZwCreateFile"), contract("ExAcquireFastMutex")
    assert create is not None and (create.minimum, create.maximum) == (0, 0)
    assert mutex is not None and (mutex.minimum, mutex.maximum) == (0, 1)


def test_a_floor_is_certain_only_where_the_reference_says_or_above_or_a_lock_is_held():
    certain = {name: contract(name).is_floor_certain for name in ("KeReleaseSpinLockFromDpcLevel", "USBD_UrbAllocate")}  # type: ignore[union-attr]
    assert certain == {"KeReleaseSpinLockFromDpcLevel": True, "USBD_UrbAllocate": False}


def test_the_table_is_among_the_packages_data():
    stated = re.search(r'^"dumpkit\.kernel" = (\[.*\])$', (PROJECT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert stated is not None
    patterns = json.loads(stated.group(1))
    assert any(fnmatch(Path(irql_contracts._TABLE).name, pattern) for pattern in patterns)
