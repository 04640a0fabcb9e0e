from __future__ import annotations

from struct import pack

import pytest
from dumpkit.errors import ExpressionError
from dumpkit.expression.cpp import DEPTH_LIMIT, evaluate_cpp
from dumpkit.expression.scope import BareScope

from tests.flat_memory import FlatMemory
from tests.scopes import MadeScope


def shown(text: str) -> str:
    """What `??` prints for an expression, without what stands behind it."""
    return str(evaluate_cpp(text, MadeScope({"rsp": 0xFFFF_8504_2989_0EE8, "efl": 0x286, "al": 0x20}))[0])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1+2", "int 0n3"),
        ("10", "int 0n10"),
        ("0x10", "int 0n16"),
        ("010", "int 0n8"),
        ("08", "int 0n8"),
        ("1``0", "int 0n10"),
        ("-1", "int 0n-1"),
        ("0x7fffffff", "int 0n2147483647"),
        ("0xffffffff", "unsigned int 0xffffffff"),
        ("-0x80000000", "unsigned int 0x80000000"),
        ("2147483648", "int64 0n2147483648"),
        ("0x100000000", "int64 0n4294967296"),
        ("9223372036854775808", "unsigned int64 0x80000000`00000000"),
        ("1u", "unsigned int 1"),
        ("1ul", "unsigned int 1"),
        ("1l", "int 0n1"),
        ("1i64", "int64 0n1"),
        ("6ui64", "unsigned int64 6"),
        ("'a'", "char 0n97 'a'"),
        ("'ab'", "short 0n24930"),
    ],
)
def test_literals_have_the_smallest_type_that_holds_them(text, answer):
    assert shown(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5/2", "int 0n2"),
        ("-5/2", "int 0n-2"),
        ("-5%3", "int 0n-2"),
        ("(1+2)*3", "int 0n9"),
        ("1+2*3", "int 0n7"),
        ("1<<31", "int 0n-2147483648"),
        ("1<<32", "int 0n0"),
        ("-1>>1", "int 0n-1"),
        ("0xffffffff>>1", "unsigned int 0x7fffffff"),
        ("2147483647+1", "int 0n-2147483648"),
        ("1u - 2", "unsigned int 0xffffffff"),
        ("-3 + 7u", "unsigned int 4"),
        ("-3 / 7u", "unsigned int 0x92492491"),
        ("5 + 0xffffffff", "unsigned int 0x4"),
        ("0xffffffff + -9i64", "unsigned int64 0xfffffff6"),
        ("7u + -9i64", "unsigned int64 0xffffffff`fffffffe"),
        ("-9i64 / 2i64", "int64 0n-4"),
        ("6ui64 << -9i64", "unsigned int64 0x03000000`00000000"),
        ("1 + 'a'", "int 0n98"),
        ("'a' + 'a'", "char 0n-62 ''"),
        ("'ab' + 'ab'", "short 0n-15676"),
        ("5 + (1<2)", "unsigned int 6"),
        ("~1", "int 0n-2"),
        ("~7u", "unsigned int 0xfffffff8"),
        ("~(1<2)", "unsigned char 0xfe ''"),
        ("1&3|4^1", "int 0n5"),
        ("0xffffffffffffffff + 1", "unsigned int64 0"),
        ("4294967296*4294967296", "int64 0n0"),
    ],
)
def test_operations_are_done_in_64_bits_and_cut_to_the_larger_type(text, answer):
    assert shown(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1<2", "bool true"),
        ("-1 < 1u", "bool false"),
        ("-1 == 0xffffffff", "bool false"),
        ("-3 < 5", "bool true"),
        ("!1", "bool false"),
        ("!0", "bool true"),
        ("1&&2", "bool true"),
        ("1||0", "bool true"),
        ("1?2:3", "int 0n2"),
        ("0 ? 2 : 3u", "unsigned int 3"),
        ("1,2", "int 0n2"),
        ("1 ? 0 ? 4 : 5 : 6", "int 0n5"),
        ("(1<2) == (2<3)", "bool true"),
    ],
)
def test_conditions_and_comparisons_are_bool(text, answer):
    assert shown(text) == answer


def test_registers_are_unsigned_int64_but_for_efl():
    assert shown("@rsp") == "unsigned int64 0xffff8504`29890ee8"
    assert shown("5 + @rsp") == "unsigned int64 0xffff8504`29890eed"
    assert shown("@al + 1") == "unsigned int64 0x21"
    assert shown("@efl") == "unsigned int 0x286"


def test_masm_may_stand_inside():
    assert shown("@@masm(10) + 1") == "unsigned int64 0x11"
    assert shown("@@(10)") == "unsigned int64 0x10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 +", "Syntax error at '<EOL>'"),
        ("", "Syntax error at '<EOL>'"),
        ("(1", "Unexpected token '<EOL>'"),
        ("1 ? 2", "Unexpected token '<EOL>'"),
        ("1/0", "Operand error at '<EOL>'"),
        ("1%0", "Operand error at '<EOL>'"),
        ("@foo", "Bad register error at '@foo'"),
        ("3 > 2 > 1", "Type conflict error at '<EOL>'"),
        ("-(7u)", "Type conflict error at '<EOL>'"),
        ("'a", "Syntax error at ''a'"),
        ("@@masm(1 2)", "Syntax error at '2)'"),
        ("@@masm(@@c++(1))", "Syntax error at '@@c++(1))'"),
    ],
)
def test_what_is_wrong_is_said_in_the_engines_words(text, message):
    with pytest.raises(ExpressionError) as refused:
        evaluate_cpp(text, BareScope())
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"abc"', "String literals not allowed in '\"abc\"'"),
        ('L"abc"', "String literals not allowed in 'L\"abc\"'"),
        ("nt!foo", "Couldn't resolve error at 'nt!foo'"),
        ("*@rsp", "Type conflict error at '<EOL>'"),
        ("&5", "Type conflict error at '<EOL>'"),
        ("foo->bar", "Couldn't resolve error at 'foo->bar'"),
        ("(nosuch*)5", "Couldn't resolve error at 'nosuch*)5'"),
        ("*(int*)0", "Memory access error at '<EOL>'"),
        ("5 % 2.5", "Type conflict error at '<EOL>'"),
        ("-(char*)5", "Type conflict error at '<EOL>'"),
        ("#CHAR_BIT", "Of C++ expressions this is not supported: '#CHAR_BIT'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(text, message):
    with pytest.raises(ExpressionError) as refused:
        evaluate_cpp(text, MadeScope({"rsp": 0}))
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1.5", "double 1.5"),
        ("1.5f", "float 1.5"),
        ("1e10", "double 10000000000"),
        ("1.0/3", "double 0.33333333333333331483"),
        ("(float)1/3", "float 0.3333333433"),
        ("5.5 > 5", "bool true"),
        ("!1.5", "bool false"),
        ("-1.5", "double -1.5"),
        ("1.5 * 2", "double 3"),
        ("(int)1.7", "int 0n1"),
    ],
)
def test_floating_point_has_the_engines_digits(text, answer):
    assert shown(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("(char)65", "char 0n65 'A'"),
        ("(unsigned char)65", "unsigned char 0x41 'A'"),
        ("(short)-1", "short 0n-1"),
        ("(unsigned short)-1", "unsigned short 0xffff"),
        ("(long)5", "long 0n5"),
        ("(unsigned long)5", "unsigned long 5"),
        ("(int)(char)200", "int 0n-56"),
        ("(bool)5", "bool true"),
        ("(wchar_t)65", "wchar_t 0x41 'A'"),
        ("(char)1 + (char)2", "char 0n3 ''"),
        ("(unsigned int)5-6", "unsigned int 0xffffffff"),
        ("reinterpret_cast<char>(5)", "char 0n5 ''"),
        ("sizeof(int)", "unsigned int64 4"),
        ("sizeof(char*)", "unsigned int64 8"),
        ("sizeof(5)", "unsigned int64 4"),
        ("sizeof(wchar_t)", "unsigned int64 2"),
        ("true ? 1 : 0", "int 0n1"),
        ("(int*)@rsp == (int*)@rsp", "bool true"),
        ("(int*)8 - (int*)16", "int64 0n-2"),
    ],
)
def test_casts_and_sizes_are_the_engines(text, answer):
    assert shown(text) == answer


def test_pointers_lead_into_memory():
    scope = MadeScope({"rsp": 0x1000})
    scope.memory = FlatMemory({0x1000: pack("<QIHbB", 0x1008, 0x7BE0F4E1, 0xFFFF, -31, 0xE1)})

    def found(text):
        value = evaluate_cpp(text, scope)[0]
        return value.number if value.type is not None else str(value)

    assert found("*(int*)(@rsp+8)") == "int 0n2078340321"
    assert found("((unsigned char*)@rsp)[0xf]") == "unsigned char 0xe1 ''"
    assert found("*(char*)(@rsp+0xe)") == "char 0n-31 ''"
    assert found("**(int**)@rsp") == "int 0n2078340321"
    assert found("(int*)@rsp+2") == 0x1008
    assert found("2 + (int*)@rsp") == 0x1008
    assert found("&*(int*)@rsp") == 0x1000
    assert found("*(short*)((char*)@rsp+0xc)") == "short 0n-1"


def test_an_expression_ends_where_it_cannot_go_on():
    assert evaluate_cpp("1 2", BareScope())[1] == 1
    assert evaluate_cpp("5 = 6", BareScope())[1] == 1
    assert evaluate_cpp("?? 1+2 ; r", BareScope(), 2)[1] == 6


def test_brackets_nest_only_so_deep():
    depth = DEPTH_LIMIT - 1
    assert shown("(" * depth + "1" + ")" * depth) == "int 0n1"
    with pytest.raises(ExpressionError, match="Expression is nested too deeply at"):
        evaluate_cpp("(" * 5000 + "1", BareScope())
    with pytest.raises(ExpressionError, match="Expression is nested too deeply at"):
        evaluate_cpp("1?" * 5000 + "1", BareScope())
    assert shown("~" * 5000 + "1") == "int 0n1"
