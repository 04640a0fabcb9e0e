"""A driver's imports and the calls in its code, held against the IRQL contracts of what they call."""

from __future__ import annotations

from dumpkit.errors import SymbolError, UnwindError
from dumpkit.kernel.irql import PASSIVE_LEVEL
from dumpkit.kernel.irql_contracts import Contract
from dumpkit.kernel.irql_effects import CALLBACKS
from dumpkit.kernel.irql_evidence import StackReader
from dumpkit.kernel.irql_findings import (
    CERTAIN,
    DEPENDS,
    SOME_PATH,
    Finding,
    check,
    is_within,
    needs,
    terms_of,
    terms_of_call,
)
from dumpkit.kernel.irql_flow import Call, Flow
from dumpkit.kernel.irql_flow_reader import FlowReader
from dumpkit.kernel.irql_level import UNKNOWN, Level, Way
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Sequence, Tuple

#: A driver has fewer functions; the kernel itself has some ten thousand.
_MOST_FUNCTIONS = 50_000


class ImportTerms(Record):
    """An imported routine; addresses are virtual. `needs` is None where the reference states no contract for it."""

    slot: Hex
    routine: str
    needs: Optional[str]
    see_remarks: bool
    source: Optional[str]
    #: How many calls of it the code has; None where the code was not followed.
    calls: Optional[int]


class CallTerms(Record):
    """A call of a routine that has a contract."""

    place: str
    address: Hex
    routine: str
    #: The levels that are possible there, in words.
    level: str
    needs: str
    #: "ok", "too high", "too low", "depends", with " on some path"; None where nothing can be said.
    verdict: Optional[str]
    #: What raised to the level that is wrong: place and routine; or the caller that its function was entered from.
    because: Optional[str]


class ModuleTerms(Record):
    """A module's imports and calls, and why they are not whole where they are not."""

    module: str
    imports: Tuple[ImportTerms, ...]
    calls: Tuple[CallTerms, ...]
    #: Functions whose code was followed, and of these the ones of which it was not followed on every path.
    functions: int
    incomplete: int
    problems: Tuple[str, ...]


class Entry(NamedTuple):
    """A level at which a function is entered, and by which call."""

    level: Level
    #: The virtual address of the call, and what the function is if that only registers it: "DPC routine".
    call: int
    kind: str = ""
    #: Whether whoever enters it so did not choose to: no condition stands between the raise and the call.
    is_certain: bool = True


def module_terms(target: Target, module: Module) -> ModuleTerms:
    """The contracts of a module's imports, and every call of its code against them."""
    reader = StackReader(target, None)
    problems: List[str] = []
    flows: List[Flow] = []
    if reader.flows is None:
        problems.append("the code of this architecture is not followed")
    else:
        try:
            flows = list(_flows(reader.flows, module))
        except UnwindError as error:
            problems.append(f"calls: {error}")
    calls = list(_calls(reader, flows))
    counts: Dict[str, int] = {}
    for flow in flows:
        for call in flow.calls.values():
            if call.routine is not None:
                counts[call.routine.shown] = counts.get(call.routine.shown, 0) + 1
    try:
        imports = list(_imports(target, module, reader, counts if flows else None))
    except SymbolError as error:
        problems.append(f"imports: {error}")
        imports = []
    incomplete = [flow for flow in flows if flow.problem]
    return ModuleTerms(
        module.name, tuple(imports), tuple(calls), len(flows), len(incomplete), tuple(dict.fromkeys(problems))
    )


def _flows(reader: FlowReader, module: Module) -> Iterator[Flow]:
    for number, begin in enumerate(reader.unwinder.functions(module)):
        if number == _MOST_FUNCTIONS:
            return
        yield reader.flow(begin)


def _imports(
    target: Target, module: Module, reader: StackReader, counts: Optional[Dict[str, int]]
) -> Iterator[ImportTerms]:
    from dumpkit.kernel.imports import ModuleImports

    names = reader.names
    for slot in ModuleImports(target, module).slots():
        routine = names.through(slot.address)
        if routine is None or not routine.names or (slot.value or 0) in module:
            continue
        terms = terms_of(routine)
        yield ImportTerms(
            Hex(slot.address),
            routine.shown,
            needs(terms) if terms is not None else None,
            terms is not None and terms.see_remarks,
            terms.source if terms is not None else None,
            counts.get(routine.shown, 0) if counts is not None else None,
        )


def _calls(reader: StackReader, flows: Sequence[Flow]) -> Iterator[CallTerms]:
    entries = _entries(reader.flows, flows) if reader.flows is not None else {}
    for flow in flows:
        for address in sorted(flow.calls):
            call = flow.calls[address]
            terms = terms_of_call(call)
            if terms is not None:
                yield _call(reader, flow, call, terms, entries.get(flow.begin, ()))


def _entries(reader: FlowReader, flows: Sequence[Flow]) -> Dict[int, Sequence[Entry]]:
    """The exact levels at which functions are entered by calls within the module, each with the first such call.

    Only calls that are made at one level on every path count.
    """
    found: Dict[int, Dict[Level, Entry]] = {}
    begins = {flow.begin for flow in flows}
    waiting = list(flows)
    for flow in flows:
        for begin, registered in _callbacks(flow):
            if begin in begins and registered.level not in found.setdefault(begin, {}):
                found[begin][registered.level] = registered
                waiting.append(reader.flow(begin, registered.level))
    while waiting:
        flow = waiting.pop()
        entered = found.get(flow.begin, {}).get(flow.entry)
        for call in flow.calls.values():
            callee = call.routine.address if call.routine is not None else None
            entry = _entry(reader, flow, call, entered) if callee in begins else None
            if callee is None or entry is None:
                continue
            known = found.setdefault(callee, {}).get(entry.level)
            if known is None or (entry.is_certain and not known.is_certain):
                found[callee][entry.level] = entry
                waiting.append(reader.flow(callee, entry.level))
    return {begin: sorted(levels.values()) for begin, levels in found.items()}


def _entry(reader: FlowReader, flow: Flow, call: Call, entered: Optional[Entry]) -> Optional[Entry]:
    """How a call enters its function; None where the level is none that counts, or not the same on every path.

    A function that was entered at a high level may call on under a condition that excludes it: that is not certain.
    """
    levels = {way.level for way in flow.ways(call.address)}
    level = levels.pop() if len(levels) == 1 else UNKNOWN
    if not level.is_exact or level.low <= PASSIVE_LEVEL:
        return None
    is_certain = True
    if entered is not None and level == flow.entry:
        is_certain = entered.is_certain and (bool(entered.kind) or reader.is_unavoidable(flow, call.address))
    return Entry(level, call.address, "", is_certain)


def _callbacks(flow: Flow) -> Iterator[Tuple[int, Entry]]:
    """The functions that a function registers to be called at a level of their own."""
    for call in flow.calls.values():
        if call.registers is None or call.routine is None:
            continue
        callback = next(CALLBACKS[name] for name in call.routine.names if name in CALLBACKS)
        yield call.registers, Entry(callback.level, call.address, callback.kind)


def _call(reader: StackReader, flow: Flow, call: Call, terms: Contract, entries: Sequence[Entry]) -> CallTerms:
    ways = flow.ways(call.address)
    finding = check([way.level for way in ways], terms)
    because = _because(reader, ways, terms) if finding is not None else None
    levels = [way.level for way in ways]
    if (finding is None or finding.certainty != CERTAIN) and reader.flows is not None:
        for entry in entries:
            entered_flow = reader.flows.flow(flow.begin, entry.level)
            inner = [way.level for way in entered_flow.ways(call.address)]
            entered = check(inner, terms)
            if entered is not None and entered.certainty == CERTAIN:
                certain = entry.is_certain and (entry.kind or reader.flows.is_unavoidable(entered_flow, call.address))
                place = reader.name_of(entry.call)
                because = f"{entry.kind} of {place}" if entry.kind else f"called by {place}"
                finding = Finding(entered.kind, CERTAIN if certain else SOME_PATH)
                levels = inner
                break
    known = [level for level in levels if not level.is_relative]
    verdict = None
    if finding is not None:
        verdict = DEPENDS if finding.certainty == DEPENDS else finding.kind
        verdict += " on some path" if finding.certainty == SOME_PATH else ""
    elif levels and len(known) == len(levels) and all(is_within(each, terms) for each in known):
        verdict = "ok"
    text = " or ".join(dict.fromkeys(str(level) for level in levels)) or "not reached"
    shown = call.routine.shown if call.routine is not None else ""
    return CallTerms(reader.name_of(call.address), Hex(call.address), shown, text, needs(terms), verdict, because)


def _because(reader: StackReader, ways: Sequence[Way], terms: Contract) -> Optional[str]:
    """What the first way that is wrong got its level from."""
    for way in ways:
        if check([way.level], terms) is not None and way.by is not None:
            return f"{way.by.routine} at {reader.name_of(way.by.address)}"
    return None
