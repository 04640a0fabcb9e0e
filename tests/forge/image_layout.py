"""Where things lie in an image being built: sections, bytes at chosen RVAs, functions, labels, variables.

All addresses are RVAs unless they say otherwise.
"""

from __future__ import annotations

from typing import Dict, List, Optional

from tests.forge.assembly import Code, Target
from tests.forge.image_sections import Section
from tests.forge.program import Function, Label, Variable

PAGE_SIZE = 0x1000


class ImageLayout:
    """The sections of an image called `name` (a file name), and the program in them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sections: List[Section] = []
        self.functions: List[Function] = []
        self.labels: List[Label] = []
        self.variables: List[Variable] = []
        self._names: Dict[str, int] = {}
        #: RVA of each pointer -> RVA of what it points to.
        self._pointers: Dict[int, int] = {}
        self._is_finished = False

    # Sections and placement

    def section(
        self,
        name: str,
        characteristics: int,
        rva: Optional[int] = None,
        size: int = PAGE_SIZE,
        fill: Optional[int] = None,
    ) -> Section:
        """A new section: `size` bytes from `rva` on, by default from where the one before ends."""
        after = self.sections[-1].end if self.sections else PAGE_SIZE
        start = -(-after // PAGE_SIZE) * PAGE_SIZE if rva is None else rva
        if start < after or start % PAGE_SIZE:
            raise ValueError(f"section {name} cannot begin at {start:#x}")
        self.sections.append(Section(name, characteristics, start, size, fill))
        return self.sections[-1]

    def named_section(self, name: str) -> Section:
        """The first section of that name; KeyError without one."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(f"{self.name} has no section {name}")

    def table_section(self, *names: str) -> str:
        """Where generated tables go: the first of these sections that there is, `.rdata`, or the last section."""
        there = [section.name for section in self.sections]
        return next(name for name in (*names, ".rdata", *there[-1:]) if name in there)

    def section_at(self, rva: int) -> Section:
        """The section that holds an RVA; KeyError without one."""
        for section in self.sections:
            if section.rva <= rva < section.end:
                return section
        raise KeyError(f"{self.name} has no section at {rva:#x}")

    def place(self, data: bytes, section: str = ".rdata", rva: Optional[int] = None, align: int = 8) -> int:
        """Put bytes at an RVA, or without one where the section has room; the RVA."""
        self._check_open()
        if rva is None:
            found = self.named_section(section)
            rva = found.room(len(data), align)
        else:
            found = self.section_at(rva)
        found.put(rva, data)
        return rva

    def patch(self, rva: int, data: bytes) -> None:
        """Write over what lies at an RVA, in the file and in memory."""
        self._check_open()
        self.section_at(rva).overwrite(rva, data)

    def _check_open(self) -> None:
        if self._is_finished:
            raise ValueError(f"{self.name} was built already: nothing can be put there any more")

    def string(self, text: str, rva: Optional[int] = None, wide: bool = False, section: str = ".rdata") -> int:
        """Put a zero-terminated string; its RVA."""
        data = text.encode("utf-16-le") + b"\0\0" if wide else text.encode() + b"\0"
        return self.place(data, section, rva, 4)

    def pointer(self, target: Target, rva: Optional[int] = None, section: str = ".rdata") -> int:
        """Put the virtual address of something in this image, with its relocation; the pointer's RVA."""
        place = self.place(bytes(8), section, rva)
        self._pointers[place] = self.rva_of(target)
        return place

    # Program

    def add(self, function: Function) -> Function:
        """Put a function; its `rva` is set."""
        function.rva = self.place(bytes(function.code.data), function.section, function.rva, 16)
        self.functions.append(function)
        self._names[function.name] = function.rva
        return function

    def function(self, name: str, code: Code, rva: Optional[int] = None, **facts: object) -> Function:
        """`add` a Function of these facts."""
        return self.add(Function(name, code, rva, **facts))  # type: ignore[arg-type]

    def label(self, name: str, rva: int, is_function: bool = True) -> Label:
        """Name an RVA publicly."""
        self.labels.append(Label(name, rva, is_function))
        self._names[name] = rva
        return self.labels[-1]

    def add_variable(self, variable: Variable) -> Variable:
        """Put a variable; its `rva` is set."""
        data = variable.data.ljust(variable.room, b"\0")
        variable.rva = self.place(data, variable.section, variable.rva)
        self.variables.append(variable)
        self._names[variable.name] = variable.rva
        return variable

    def rva_of(self, target: Target) -> int:
        """The RVA of a name, or the RVA itself; KeyError for a name that is not here."""
        if isinstance(target, int):
            return target
        try:
            return self._names[target]
        except KeyError:
            raise KeyError(f"{self.name} has nothing called {target}") from None
