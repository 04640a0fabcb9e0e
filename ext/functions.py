"""`cache`, `cached_property` and `partial` as functools has them, without importing what it imports.

That is collections, reprlib and more: a thirtieth of the time that a short command takes. To type checkers they are
functools' own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import cache as cache
    from functools import cached_property as cached_property
    from functools import partial as partial
else:
    try:
        from _functools import partial as partial
    except ImportError:
        from functools import partial as partial

    def cache(function):
        """Remember what a function gave for its arguments."""
        known = {}

        def ask(*arguments):
            try:
                return known[arguments]
            except KeyError:
                value = known[arguments] = function(*arguments)
                return value

        ask.__doc__ = function.__doc__
        return ask

    class cached_property:
        """A property that is computed when it is first asked for, and an attribute of that name from then on."""

        def __init__(self, compute):
            self._compute = compute
            self.__doc__ = compute.__doc__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self._compute(instance)
            return value
