"""`devnode`: a node of the Plug and Play manager's tree, or the tree.

Format: examples in Microsoft's driver documentation (!devnode 0 1), and public transcripts.
"""

from __future__ import annotations

from dumpkit.arguments import take_word
from dumpkit.errors import CommandError
from dumpkit.gaps import Gaps
from dumpkit.kernel.device_tree import STARTED, DeviceNode, DeviceTree, problem_name, root_node
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_USAGE = "devnode ADDRESS|0 [FLAGS [SERVICE]]"
_CHILDREN, _NOT_STARTED, _WITH_PROBLEMS = 0x1, 0x10, 0x20
_REMOVALS, _EJECTS = 1, 2


class NodeData(Record):
    """A node; `level` is its depth below where the walk began. What cannot be read is None."""

    address: Hex
    level: int
    physical_device: Optional[Hex]
    instance: Optional[str]
    service: Optional[str]
    state: Optional[Hex]
    state_name: Optional[str]
    previous_state: Optional[Hex]
    previous_state_name: Optional[str]
    #: CM_PROB_…; 0 and None where it has none.
    problem: Optional[int]
    problem_name: Optional[str]
    #: An NTSTATUS.
    problem_status: Optional[Hex]


class NodeList(Record):
    """The nodes that were asked for, each before those below it."""

    #: nt!IopRootDeviceNode; None where a node was given by its address.
    root: Optional[Hex]
    nodes: Tuple[NodeData, ...]
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def node_lines(result: NodeList) -> Iterator[Line]:
    if result.root is not None:
        yield f"Dumping IopRootDeviceNode (= 0x{result.root:016x})"
    for node in result.nodes:
        yield from _node_lines(node, "  " * node.level)
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _node_lines(node: NodeData, indent: str) -> Iterator[Line]:
    device = node.physical_device
    yield (
        f"{indent}DevNode ",
        Span(f"0x{node.address:016x}", "address", f"devnode {node.address:x}"),
        " for PDO ",
        Span("?" * 16 if device is None else f"0x{device:016x}", "address", f"devstack {device or 0:x}"),
    )
    if node.instance is not None:
        yield f'{indent}  InstancePath is "{node.instance}"'
    if node.service:
        yield f'{indent}  ServiceName is "{node.service}"'
    for title, number, name in (
        ("State", node.state, node.state_name),
        ("Previous State", node.previous_state, node.previous_state_name),
    ):
        if number is not None:
            yield f"{indent}  {title} = {name or 'Unknown State'} (0x{number:x})"
    if node.problem:
        yield f"{indent}  Problem = {node.problem_name}"
    if node.problem and node.problem_status:
        status = node.problem_status
        yield (f"{indent}  Problem Status = ", Span(f"0x{status:x}", None, f"error {status:x}"))


class _NodeRequest(Record):
    """What the arguments ask for."""

    address: int
    flags: int
    service: Optional[str]


def _request(session: Session, text: str) -> _NodeRequest:
    text = text.strip()
    address, text = session.evaluate_prefix(text) if text else (0, "")
    text = text.strip()
    flags, text = session.evaluate_prefix(text) if text else (0, "")
    service, rest = take_word(text)
    if rest.strip():
        raise CommandError(f"devnode: unexpected '{rest.strip()}'", _USAGE)
    if address in (_REMOVALS, _EJECTS):
        raise CommandError("devnode: the lists of pending removals and ejects are not shown", _USAGE)
    return _NodeRequest(address, flags, service)


@command(
    "devnode",
    category="Kernel",
    summary="A node of the device tree, or the tree: states and problems",
    arguments=(Text("query", "ADDRESS|0 [FLAGS [SERVICE]]"),),
    render=node_lines,
)
def devnode(session: Session, query: str = "") -> NodeList:
    """Shows a Plug and Play node of a device, or with 0 the root of all. FLAGS are bits:

    1    the nodes below, too
    10   only nodes that are not started
    20   only nodes with a problem

    devnode 0 1             the whole tree
    devnode 0 1 storahci    the nodes of a service, and what is below them
    devnode 0 21            the nodes with a problem
    """
    request = _request(session, query)
    target = session.dump
    root = root_node(target) if not request.address else None
    gaps = Gaps()
    start = root if root is not None else request.address
    if request.flags & _CHILDREN or request.service is not None:
        tree = DeviceTree(target, start)
        nodes = tuple(_chosen(tree, request, gaps))
        for problem in tree.problems:
            gaps.add("the tree", problem)
    else:
        node = DeviceNode(target, start)
        node.physical_device  # noqa: B018  what is not there at all is one line
        nodes = (_data(node, gaps),)
    return NodeList(None if root is None else Hex(root), nodes, gaps.lines())


def _chosen(tree: DeviceTree, request: _NodeRequest, gaps: Gaps) -> Iterator[NodeData]:
    """The nodes that pass the filters. Below a node of the service, all pass where children are asked for."""
    #: Depth of the last node of the service, and of what it is shown below.
    above: Optional[int] = None
    for node in tree:
        data = _data(node, gaps, node.level)
        if request.flags & _NOT_STARTED and data.state_name == STARTED:
            continue
        if request.flags & _WITH_PROBLEMS and not data.problem:
            continue
        if request.service is None:
            yield data
            continue
        if above is not None and node.level <= above:
            above = None
        if (data.service or "").lower() == request.service.lower() and above is None:
            above = node.level
        elif above is None or not request.flags & _CHILDREN:
            continue
        yield _data(node, gaps, node.level - above)


def _data(node: DeviceNode, gaps: Gaps, level: int = 0) -> NodeData:
    what = f"node {node.address:016x}"
    place: Optional[int] = gaps.read(what, lambda: node.physical_device)
    if place is None:
        return NodeData(Hex(node.address), level, *[None] * 10)
    state, state_name = _state(node, "State", gaps)
    previous, previous_name = _state(node, "PreviousState", gaps)
    problem: Optional[int] = gaps.read(what, lambda: node.problem)
    return NodeData(
        Hex(node.address),
        level,
        Hex(place),
        gaps.read(f"the path of {what}", lambda: node.instance),
        gaps.read(f"the service of {what}", lambda: node.service),
        state,
        state_name,
        previous,
        previous_name,
        problem,
        problem_name(problem) if problem else None,
        gaps.read(what, lambda: Hex(node.problem_status)) if problem else None,
    )


def _state(node: DeviceNode, member: str, gaps: Gaps) -> Tuple[Optional[Hex], Optional[str]]:
    number, name = gaps.read(f"node {node.address:016x}", lambda: node.state(member), (None, None))
    return None if number is None else Hex(number), name
