from __future__ import annotations

import re

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import DumpkitError, ExpressionError, RegisterError, SymbolError
from dumpkit.expression import evaluate
from dumpkit.expression.scope import BareScope, TargetScope
from dumpkit.formats import evaluation
from dumpkit.registers import ARM64, X64, Context

from tests.made_target import AMDPPM, NT, MadeTarget
from tests.shared import REFERENCE, dump, needs_shared


def scope_of(target, **more) -> TargetScope:
    return TargetScope(target, lambda: target.context(target.current_processor), **more)


def test_a_module_is_its_base_by_any_of_its_names():
    scope = scope_of(MadeTarget())
    assert evaluate("nt", scope) == evaluate("NTOSKRNL", scope) == evaluate("ntoskrnl.exe", scope) == NT.base
    assert evaluate("AmdPpm+10", scope) == evaluate("amdppm.sys + 10", scope) == AMDPPM.base + 0x10
    assert evaluate("!nt", scope) == NT.base


def test_a_symbol_is_its_address():
    scope = scope_of(MadeTarget())
    assert evaluate("nt!KeBugCheckEx+4", scope) == NT.base + 0x1004


def test_registers_are_those_of_the_context():
    scope = scope_of(MadeTarget())
    assert evaluate("rsp + @rax", scope) == NT.base + 0x1234
    assert evaluate(". - $ip", scope) == 0
    assert evaluate("$csp", scope) == NT.base
    assert evaluate("eax", scope) == evaluate("$retreg", scope) == 0x1234


def test_memory_is_the_targets():
    assert evaluate("by(nt+12) + wo nt", scope_of(MadeTarget())) == 0x12 + 0x0100


def test_the_bugcheck_has_pseudo_registers():
    scope = scope_of(MadeTarget())
    assert evaluate("$bug_code", scope) == 0xD1
    assert evaluate("$bug_param2 + @$bug_param3", scope) == 3


def test_sizes_have_pseudo_registers():
    assert evaluate("$ptrsize + $pagesize", scope_of(MadeTarget())) == 0x1008


def test_variables_are_zero_until_they_are_set():
    variables = {"t1": 5}
    scope = scope_of(MadeTarget(), variables=variables)
    assert evaluate("$t0 + $t1*2", scope) == 10
    assert variables["exp"] == 10
    assert evaluate("$exp + 1", scope) == 11


def test_what_the_kernel_model_knows_is_asked_for_when_needed():
    scope = scope_of(MadeTarget(), providers={"proc": lambda: 0xFFFF_C08B_DCE9_4180})
    assert evaluate("$proc", scope) == 0xFFFF_C08B_DCE9_4180


def test_a_provider_that_fails_is_a_bad_register_with_its_cause():
    def fail() -> int:
        raise SymbolError("no symbols for nt")

    with pytest.raises(ExpressionError, match=r"Bad register error at '\$thread'") as refused:
        evaluate("$thread", scope_of(MadeTarget(), providers={"thread": fail}))
    assert "no symbols for nt" in str(refused.value.__cause__)


def test_a_context_that_is_not_in_the_dump_is_a_bad_register():
    target = MadeTarget()
    with pytest.raises(ExpressionError, match="Bad register error at '@rsp'"):
        evaluate("@rsp", TargetScope(target, lambda: target.context(2)))


def test_a_known_pseudo_register_that_the_target_lacks_is_a_bad_register():
    with pytest.raises(RegisterError):
        scope_of(MadeTarget()).pseudo_register("tpid")


def test_a_register_of_the_target_is_not_looked_for_among_its_symbols():
    target = MadeTarget()
    target.symbols.address_of = lambda name: pytest.fail(f"{name} was looked for")
    assert evaluate("rsp", scope_of(target)) == NT.base


def test_old_32_bit_names_are_registers_on_x64_only():
    assert TargetScope(MadeTarget(), lambda: Context(X64, {})).whole_registers["eip"] == "rip"
    target = MadeTarget()
    target.architecture = ARM64
    assert not TargetScope(target, lambda: Context(ARM64, {})).whole_registers
    assert evaluate("$ip", TargetScope(target, lambda: Context(ARM64, {"pc": 8}))) == 8


def test_without_a_target_there_are_numbers_and_variables():
    scope = BareScope(variables={"t0": 7})
    assert evaluate("$t0 + $t1 + 3", scope) == 10
    for text in ("rsp", "@rsp", "nt", "poi(0)", "$proc"):
        with pytest.raises(DumpkitError):
            evaluate(text, scope)


#: Two of the references are of files that are no dumps.
ASKED = [path for path in sorted(REFERENCE.glob("*.kd.txt")) if path.name not in ("all-zero.kd.txt", "empty.kd.txt")]


@needs_shared
@pytest.mark.parametrize("path", ASKED, ids=lambda path: path.name.split(".")[0])
def test_the_answers_in_the_references_are_reproduced(path):
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    asked = [(place, re.match(r"\d+: kd> \? (.*)", line)) for place, line in enumerate(lines)]
    questions = [(match.group(1), lines[place + 1]) for place, match in asked if match is not None]
    assert questions
    scope = scope_of(open_dump(dump(path.name[: -len(".kd.txt")])))
    for text, answer in questions:
        try:
            assert evaluation(evaluate(text, scope)) == answer
        except ExpressionError as error:
            assert str(error) == answer
