"""NamedTuple, as typing has it, at a tenth of what defining a class with that costs.

typing compiles every annotation, and collections the code of every constructor: 0.2 ms a class, 15 ms for the seventy
that a command defines. Here annotations are only counted, and constructors of as many fields share their code. To type
checkers it is typing's own; instances are tuples, with `_fields`, `_replace`, `_asdict` and `_make`.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Tuple
    from typing import NamedTuple as NamedTuple
else:
    from types import CodeType, FunctionType

    try:
        from _collections import _tuplegetter
    except ImportError:
        from operator import itemgetter

        def _tuplegetter(index, doc):
            return property(itemgetter(index), doc=doc)

    class _Definition(type):
        """Makes a class with annotations a tuple's."""

        def __new__(meta, name, bases, namespace):
            fields = annotated_names(namespace)
            defaults = {field: namespace[field] for field in fields if field in namespace}
            # All that the class has is handed to `type` at once: what is set afterwards costs as much again.
            whole = {**_METHODS, **namespace}
            for index, field in enumerate(fields):
                whole[field] = _tuplegetter(index, None)
            whole["__slots__"] = ()
            whole["__new__"] = _constructor(fields, defaults)
            whole["_fields"] = whole["__match_args__"] = fields
            whole["_field_defaults"] = defaults
            return type(name, (tuple,), whole)

    #: Number of fields -> the code of a constructor that takes so many.
    _codes: Dict[int, CodeType] = {}
    _SCOPE = {"_new": tuple.__new__, "__builtins__": {}}

    def _constructor(fields, defaults):
        """A constructor that takes the fields in their order or by name."""
        code = _codes.get(len(fields))
        if code is None:
            names = "".join(f"_{number}, " for number in range(len(fields)))
            code = _codes[len(fields)] = eval(f"lambda _cls, {names}: _new(_cls, ({names}))", _SCOPE).__code__
        # Code that differs in names alone need not be compiled again.
        code = code.replace(co_name="__new__", co_varnames=("_cls", *fields))
        return FunctionType(code, _SCOPE, "__new__", tuple(defaults.values()))

    def _make(cls, values):
        """An object of the values in their order."""
        return cls(*values)

    def _replace(self, **named):
        """The same object with other values of some fields."""
        unknown = named.keys() - set(self._fields)
        if unknown:
            raise ValueError(f"Got unexpected field names: {sorted(unknown)!r}")
        return type(self)(*(named.get(field, value) for field, value in zip(self._fields, self)))

    def _asdict(self):
        """Its values by their fields' names."""
        return dict(zip(self._fields, self))

    def _repr(self):
        shown = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self))
        return f"{type(self).__name__}({shown})"

    _METHODS = {
        "__repr__": _repr,
        "__getnewargs__": lambda self: tuple(self),
        "_make": classmethod(_make),
        "_replace": _replace,
        "_asdict": _asdict,
    }

    NamedTuple = type.__new__(_Definition, "NamedTuple", (), {})


def annotated_names(namespace: Mapping[str, Any]) -> Tuple[str, ...]:
    """The names that a class annotates itself, by what it holds; class variables left out."""
    found = namespace.get("__annotations__")
    if found is None and sys.version_info >= (3, 14):
        from annotationlib import Format, call_annotate_function, get_annotate_from_class_namespace

        annotate = get_annotate_from_class_namespace(namespace)
        found = call_annotate_function(annotate, Format.STRING) if annotate is not None else None
    return tuple([name for name, kind in (found or {}).items() if not str(kind).startswith("ClassVar")])
