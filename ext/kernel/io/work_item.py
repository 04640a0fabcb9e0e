"""Work items of drivers: the routine that IoQueueWorkItem was given, behind the kernel's own that calls it."""

from __future__ import annotations

from dumpkit.errors import DumpkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dumpkit.target import Target


def work_routine(target: Target, routine: int, parameter: int) -> int:
    """The virtual address of the routine that a worker thread was to call.

    `routine` and `parameter` are what it was queued with. Where that is a routine of the kernel, which calls drivers'
    for them, the parameter is the driver's IO_WORKITEM. As given, where that leads into no other module.
    """
    module = target.module_at(routine)
    if module is None or module.name != "nt":
        return routine
    try:
        found = int(target.type("_IO_WORKITEM").at(parameter).Routine)
    except DumpkitError:
        return routine
    return found if target.module_at(found) is not None else routine
