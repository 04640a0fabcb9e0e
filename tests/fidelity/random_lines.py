"""Command lines as people type them, made at random: commands, ranges, expressions and slips of the finger."""

from __future__ import annotations

from random import Random
from typing import Callable, Dict, List

_DISPLAYS = "db dw dW dd dc dq dp df dD da dps dpp dpa dds dqs dqp ddp dda dyb dyd".split()
_REGISTERS = "rax rbx rcx rdx rsi rdi rsp rbp rip r8 r12 r15 eax ax al ah r9d r10w r11b efl cs ss zf cf if iopl".split()
_PSEUDO = "$ip $csp $ra $thread $proc $ptrsize $pagesize $bug_code $bug_param2".split()
_OPERATORS = "+ - * & | ^ / % << >> == != < > and or xor mod".split()
_SIGNS = ["-", "~", "not ", "hi(", "low(", "by(", "wo(", "dwo(", "qwo(", "poi("]
_TYPES = "char,unsigned char,short,unsigned short,int,unsigned int,long,unsigned long,float,double".split(",")
_FORMATS = "%d %x %u %p %08x %-6d| %I64x %I64d %o %5d %#x %hx %lx %X %i %N".split()
_PLACES = [
    "@rsp",
    "@rip",
    "@rbp",
    "nt",
    "@rsp+8",
    "@rsp-8",
    "nt+1000",
    "poi(@rsp)",
    "$ip",
    "@$csp",
    "0",
    "fffff78000000000",
]
_SLIPS = ["", "", "", "", "", "", " foo", ",", ")", " L", " 5 6", "'"]


class LineMaker:
    """Makes lines from a seed; one seed always makes the same."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.makers: Dict[str, Callable[[], str]] = {
            "display": self.display,
            "register": self.register,
            "masm": self.masm,
            "cpp": self.cpp,
            "search": self.search,
            "compare": self.compare,
            "code": self.code,
            "print": self.print,
            "flow": self.flow,
            "alias": self.alias,
            "formats": self.formats,
            "slip": self.slip,
        }

    def lines(self, count: int) -> List[str]:
        """So many lines, every kind in turn."""
        kinds = list(self.makers)
        return [self.makers[kinds[number % len(kinds)]]() for number in range(count)]

    def one(self, *choices: str) -> str:
        return self.random.choice(choices)

    def place(self) -> str:
        return self.random.choice(_PLACES)

    def number(self) -> str:
        value = self.random.choice([0, 1, 5, 0x10, 0x7F, 0x80, 0xFF, 0x1234, 0x7FFFFFFF, 0x80000000, 1 << 32, 1 << 63])
        value += self.random.randrange(3)
        return self.one(f"{value:x}", f"0x{value:x}", f"0n{value}", f"0t{value:o}", f"0y{value:b}", f"{value:x}h")

    def size(self) -> str:
        return self.one(
            f" L{self.random.randrange(1, 0x14):x}", f" L?{self.random.randrange(1, 9):x}", " L0n5", " L@@(4)"
        )

    def range(self) -> str:
        place = self.place()
        return self.one(
            f"{place}{self.size()}", f"{place}{self.size()}", f"{place} {place}+{self.random.randrange(64):x}"
        )

    def display(self) -> str:
        width = f" /c {self.random.randrange(1, 9)}" if self.random.random() < 0.2 else ""
        return f"{self.random.choice(_DISPLAYS)}{width} {self.range()}"

    def register(self) -> str:
        name = self.random.choice(_REGISTERS)
        form = self.one("", "", "", ":ub", ":uw", ":ud", ":uq", ":ib", ":iw", ":id", ":iq")
        return self.one(
            f"r {name}{form}",
            f"r {name}{form}",
            f"r @{name},{self.random.choice(_REGISTERS)}",
            f"r $t{self.random.randrange(4)}={self.expression(2)}; r $t{self.random.randrange(4)}",
            f"rM {self.random.randrange(0x10):x}",
            f"r xmm{self.random.randrange(4)}{self.one('', ':ub', ':uw', ':ud', ':uq', ':id')}",
            f"r {self.random.choice(_PSEUDO)}",
        )

    def expression(self, depth: int) -> str:
        if depth <= 0:
            place = self.one(*_PLACES[:7], "@$t0", "@$t1", f"@{self.random.choice(_REGISTERS[:16])}")
            return self.one(self.number(), self.number(), place)
        left, right = self.expression(depth - 1), self.expression(depth - 1)
        operator = self.random.choice(_OPERATORS)
        return self.one(
            f"{left} {operator} {right}" if operator.isalpha() else f"{left}{operator}{right}",
            f"{left} {operator} {right}",
            f"({left}) {operator} {right}",
            f"{self.random.choice(_SIGNS)}{left}",
            f"{self.one('hi', 'low', 'by', 'wo', 'dwo', 'qwo', 'poi')}({self.place()})",
        )

    def masm(self) -> str:
        return f"? {self.expression(self.random.randrange(3))}"

    def cpp(self) -> str:
        type = self.random.choice(_TYPES)
        number = self.one("5", "0x10", "65", "-1", "300", "0xffffffff", "'a'", "1.5", "@rsp", "@al")
        other = self.one("2", "7u", "1.5", "0x100", "'b'")
        return "?? " + self.one(
            f"({type}){number}",
            f"{number} {self.one('+', '-', '*', '/', '<', '>', '==', '&&', '||')} {other}",
            f"*({type}*)@rsp",
            f"(({type}*)@rsp)[{self.random.randrange(5)}]",
            f"({type}*)@rsp+{self.random.randrange(9)}" if "char" not in type else f"sizeof({type}*)",
            f"sizeof({type})",
            f"1 ? {number} : {other}",
        )

    def search(self) -> str:
        kind = self.one("-b", "-w", "-d", "-q", "", "-[1]b", "-[1]d")
        what = self.one("0", "7e", "ff", "5", "c0000005" if kind.endswith(("d", "q")) else "4c")
        return self.one(
            f"s {kind} @rsp L40 {what}",
            f's -a nt L80 "{self.one("M", "MZ", "PE", "This")}"',
            f"s {kind} @rip L20 {what}",
        )

    def compare(self) -> str:
        return f"c @rsp L{self.random.randrange(1, 9)} @rsp+{self.random.randrange(9)}"

    def code(self) -> str:
        return self.one(
            f"u @rip L{self.random.randrange(1, 6)}",
            f"ub @rip L{self.random.randrange(1, 3)}",
            "u @rip @rip+8",
            "u poi(@rsp) L2",
        )

    def print(self) -> str:
        form = self.random.choice(_FORMATS)
        return f'.printf "{self.one("", "a ", "%% ")}{form}\\n", {self.expression(self.random.randrange(2))}'

    def flow(self) -> str:
        truth = self.expression(1)
        return self.one(
            f".if ({truth}) {{ .echo yes }} .else {{ .echo no }}",
            f".if ({truth}) {{ ? 1; ? 2 }}",
            f"r $t9=0; .while (@$t9 < {self.random.randrange(1, 4)}) {{ ? @$t9; r $t9=@$t9+1 }}",
            f'.for (r $t8=0; @$t8 < {self.random.randrange(1, 4)}; r $t8=@$t8+1) {{ .printf "%d\\n", @$t8 }}',
            ".foreach (x { .echo a b c d }) { .echo ${x} x -x- }",
            f".foreach /pS {self.random.randrange(3)} (x {{ .echo a b c d }}) {{ .echo x }}",
            f".foreach /ps {self.random.randrange(3)} (x {{ .echo a b c d }}) {{ .echo x }}",
            f"j ({truth}) '.echo a;.echo b' ; '.echo c'",
            f".catch {{ {self.masm()} }}; .echo after",
            f".block {{ {self.masm()} }}",
        )

    def alias(self) -> str:
        name = self.one("x1", "x2", "x3")
        return self.one(
            f"aS {name} {self.one('hello', '5', '@rsp')}",
            f"aS /x {name} {self.expression(1)}",
            f".echo ${{{name}}} {name} ${{/d:{name}}} ${{/n:{name}}}|",
            f"ad /q {name}",
            "al",
            f"r $.u{self.random.randrange(3)}={self.one('a b', '? 5')}",
            f".echo $u{self.random.randrange(3)}",
        )

    def formats(self) -> str:
        return f".formats {self.expression(self.random.randrange(2))}"

    def slip(self) -> str:
        """A line that may have something too many or too few."""
        line = self.one(self.display(), self.masm(), self.code(), self.compare(), self.search(), self.register())
        return line + self.random.choice(_SLIPS)
