"""What "current" means between two commands: target, processor, registers, radix, positions, log."""

from __future__ import annotations

from dumpkit.aliases import Aliases
from dumpkit.errors import CommandError, DumpkitError, ExpressionError
from dumpkit.output import Output, Span
from dumpkit.registers import Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, MutableMapping, Optional, TextIO, Tuple

    from dumpkit.clock import Zone
    from dumpkit.expression.scope import Scope
    from dumpkit.runner import Runner


def _is_dump(path: str) -> bool:
    """Whether a file is there that begins as dumps of kernels and processes do."""
    try:
        with open(path, "rb") as file:
            return file.read(4) in (b"PAGE", b"MDMP")
    except FileNotFoundError:
        return False


class Session:
    """One user's work on one target."""

    def __init__(self, output: Output, target: Optional[Target] = None) -> None:
        self.output = output
        self.target = target
        #: Whether results are written as JSON instead of text.
        self.json = False
        #: Whether a command file goes on behind a command that failed.
        self.keep_going = False
        #: Whether no command may write a file or run one: whose commands they are is not known.
        self.is_confined = False
        self._zone: Optional[Zone] = None
        #: Base of numbers without a prefix: 8, 10 or 16.
        self.radix = 16
        #: The processor whose registers are current.
        self.processor = target.current_processor if target is not None else 0
        #: Registers that a command such as `.trap` or `.cxr` made current, instead of the processor's.
        self.override: Optional[Context] = None
        #: The frame that `.frame` chose, and the number of that whose registers `.frame /c` made current.
        self.frame = 0
        self.base_frame = 0
        #: Whether source lines are shown.
        self.lines = True
        #: What `.thread` and `.process` chose, by virtual address, instead of what the processor ran.
        self.thread: Optional[int] = None
        self.process: Optional[int] = None
        #: Where a command without an address goes on: virtual addresses by command family.
        self.positions: Dict[str, int] = {}
        #: The format that a bare `d` repeats.
        self.last_display = "db"
        #: User pseudo-registers $t0-$t19 and the engine's $exp, by name without the dollar sign.
        self.pseudo: MutableMapping[str, int] = {}
        #: What `as` and `r $.u0=` defined.
        self.aliases = Aliases()
        #: Set by `z`: the line that it stands in is run again.
        self.again = False
        #: The command being run, as it was typed.
        self.line = ""
        #: Set by `q`.
        self.ended = False
        #: What was left over behind the arguments of the command being run: raised once its result is there.
        self.surplus: Optional[ExpressionError] = None
        #: How many command files are running each other.
        self.script_depth = 0
        #: Tells the user of an error that does not end what is running; a door may put its own here.
        self.report: Callable[[DumpkitError], None] = self._report
        #: Finds and runs commands; the dispatcher puts itself here.
        self.runner: Optional[Runner] = None

    def _report(self, error: DumpkitError) -> None:
        self.output.line((Span(str(error), "error"),))

    @property
    def commands(self) -> Runner:
        """What finds and runs commands. Raises CommandError in a session without a dispatcher."""
        if self.runner is None:
            raise CommandError("this session has no dispatcher to run commands with")
        return self.runner

    def execute(self, line: str) -> None:
        """Run a line of commands and show what comes of each. Raises DumpkitError."""
        self.commands.run(line)

    @property
    def dump(self) -> Target:
        """The target. Raises CommandError where there is none."""
        if self.target is None:
            raise CommandError("no dump is open: start dumpkit with the path of one")
        return self.target

    @property
    def zone(self) -> Zone:
        """The time zone that times are shown in: the host's own where none was chosen."""
        if self._zone is None:
            from dumpkit.clock import local_zone

            self._zone = local_zone()
        return self._zone

    @zone.setter
    def zone(self, zone: Zone) -> None:
        self._zone = zone

    @property
    def prompt(self) -> str:
        """What stands before the cursor: `4: kd> `, without a number on a machine with one processor."""
        if self.target is None:
            return "dumpkit> "
        return f"{self.processor}: kd> " if self.target.system.processors != 1 else "kd> "

    @property
    def context(self) -> Context:
        """The current registers. Raises DumpkitError where the target does not hold them."""
        return self.override if self.override is not None else self.dump.context(self.processor)

    def select_processor(self, number: int) -> None:
        """Make a processor current. Raises CommandError for a number that the machine does not have."""
        if not 0 <= number < self.dump.system.processors:
            raise CommandError(f"{number} is not a valid processor number")
        # A processor without registers is refused here, not by every command that follows.
        self.dump.context(number)
        self.processor = number
        self.reset_context()
        self.thread = None
        self.select_process(None)

    def set_context(self, context: Context, frame: int = 0) -> None:
        """Make registers current, until `reset_context`; `frame` is the number of the frame that they are of."""
        self.override = context
        self.frame = self.base_frame = frame

    def reset_context(self) -> bool:
        """Make the processor's registers current again; whether others were, or another frame than the innermost."""
        was_set = self.override is not None or self.frame != 0
        self.override = None
        self.frame = self.base_frame = 0
        return was_set

    @property
    def thread_address(self) -> int:
        """The virtual address of the current KTHREAD: the one chosen, or the processor's. Raises DumpkitError."""
        return self.thread if self.thread is not None else self.dump.thread_address(self.processor)

    @property
    def process_address(self) -> int:
        """The virtual address of the current KPROCESS: the one chosen, or the processor's. Raises DumpkitError."""
        return self.process if self.process is not None else self.dump.process_address(self.processor)

    def select_process(self, address: Optional[int], page_tables: Optional[int] = None) -> None:
        """Make a process current, and read memory through its page tables; None goes back to the processor's.

        `page_tables` is the physical address of the topmost. Raises DumpkitError where they do not lead to the kernel,
        and nothing is changed then.
        """
        self.dump.use_page_tables(page_tables)
        self.process = address

    @property
    def scope(self) -> Scope:
        """Where expressions find their names: the target's symbols, the current registers, the session's variables."""
        from dumpkit.expression.scope import BareScope, TargetScope

        if self.target is None:
            return BareScope(self.radix, self.pseudo)
        target, processor = self.target, self.processor
        providers = {
            "proc": lambda: self.process_address,
            "thread": lambda: self.thread_address,
            "frame": lambda: self.frame,
            "prcb": lambda: target.prcb_address(processor),
            "teb": self._teb,
            "peb": self._peb,
            "ra": self._return_address,
        }
        return TargetScope(target, lambda: self.context, self.radix, self.pseudo, providers)

    def _teb(self) -> int:
        from dumpkit.kernel.thread import Thread

        return Thread(self.dump, self.thread_address).teb

    def _peb(self) -> int:
        from dumpkit.kernel.process import Process

        return Process(self.dump, self.process_address).peb

    def _return_address(self) -> int:
        from dumpkit.kernel.stack import walk_stack

        return walk_stack(self.dump, self.context, 1)[0].return_address

    def pseudo_register(self, name: str) -> int:
        """The value of a pseudo-register, by its lower-case name without the dollar sign. Raises RegisterError."""
        return self.scope.pseudo_register(name)

    def refuse_surplus(self, text: str, position: int) -> None:
        """Note that anything but white space is left from a place in a command on: "Extra character error".

        As in the debugger, the command's result is shown, and the error behind it.
        """
        from dumpkit.expression import refuse_surplus

        try:
            refuse_surplus(text, position)
        except ExpressionError as error:
            self.surplus = error

    def evaluate(self, text: str) -> int:
        """The value of a whole text as a MASM expression."""
        from dumpkit.expression import evaluate

        return evaluate(text, self.scope)

    def evaluate_prefix(self, text: str) -> Tuple[int, str]:
        """The value of the expression at the start of a text, and what follows it."""
        from dumpkit.expression import evaluate_prefix

        return evaluate_prefix(text, self.scope)

    def refuse_if_confined(self, deed: str) -> None:
        """Raise CommandError where commands may neither write nor run files."""
        if self.is_confined:
            raise CommandError(f"no command may {deed} here: nothing is written and no file is run")

    def open_log(self, path: str, append: bool = False) -> None:
        """Write everything shown from now on to a file too; a log that is open is closed first."""
        self.refuse_if_confined("write a log")
        try:
            if _is_dump(path):
                raise CommandError(f"cannot open log file {path}: it is a dump, which a log would destroy")
            self.close_log()
            self.output.log = open(path, "a" if append else "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise CommandError(f"cannot open log file {path}: {error.strerror}") from error

    def close_log(self) -> Optional[TextIO]:
        """End the log; the file that was open, or None."""
        log, self.output.log = self.output.log, None
        if log is not None:
            log.close()
        return log
