"""Results as data: frozen dataclasses that cost nothing to define.

`dataclasses` imports `inspect` and writes code for every class, 10 ms for a command that should take
30. A Record is one in all that counts: fields from annotations, keyword and positional construction,
defaults, equality, a repr; type checkers see a frozen dataclass, and `dataclasses.fields` and
`asdict` work on it. Fields whose names begin with an underscore are for rendering, not data.
"""

from __future__ import annotations

from dumpkit.named_tuple import annotated_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, NoReturn, Tuple

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options):
        return lambda base: base


class _DataclassFields:
    """What `dataclasses` looks for on a dataclass, made when it does."""

    def __get__(self, instance: object, owner: type) -> Dict[str, Any]:
        from dataclasses import field, make_dataclass

        defaults = owner._defaults  # type: ignore[attr-defined]
        fields = [
            (name, object, field(default=defaults[name])) if name in defaults else (name, object)
            for name in owner._fields  # type: ignore[attr-defined]
        ]
        made: Any = make_dataclass(owner.__name__, fields)
        found: Dict[str, Any] = made.__dataclass_fields__
        return found


@dataclass_transform(frozen_default=True)
class Record:
    """Base of results: subclasses declare their fields by annotations, as dataclasses do."""

    _fields: ClassVar[Tuple[str, ...]] = ()
    _defaults: ClassVar[Dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        inherited = cls.__mro__[1]._fields if issubclass(cls.__mro__[1], Record) else ()
        own = tuple([name for name in annotated_names(cls.__dict__) if name not in inherited])
        cls._fields = (*inherited, *own)
        cls._defaults = {**cls._defaults, **{name: cls.__dict__[name] for name in own if name in cls.__dict__}}

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self._fields
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} values, {len(values)} were given")
        state = self.__dict__
        state.update(self._defaults)
        state.update(zip(fields, values))
        state.update(named)
        if len(state) != len(fields) or not named.keys().isdisjoint(fields[: len(values)]):
            missing = [name for name in fields if name not in state]
            raise TypeError(f"{type(self).__name__}: missing {missing}, given {sorted(named)}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self._fields))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    if not TYPE_CHECKING:
        __dataclass_fields__ = _DataclassFields()
