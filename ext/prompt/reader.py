"""The line that a person types: editing, completion and history, by prompt_toolkit.

Importing this module imports prompt_toolkit; only a prompt in a terminal needs it.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

from dumpkit.defects import debugging
from dumpkit.output import Span, ansi, plain, printable
from dumpkit.prompt.completion import Completion
from dumpkit.prompt.history import History, HistoryError
from dumpkit.session import Session
from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.completion import Completion as Offered
from prompt_toolkit.document import Document
from prompt_toolkit.filters import completion_is_selected, is_searching
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import History as Lines
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import ColorDepth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque, Iterable, Iterator, Optional


class _Completer(Completer):
    """Offers what the session's completion finds; called in a thread of its own."""

    def __init__(self, session: Session) -> None:
        self._completion = Completion(session)
        #: Held while candidates are looked for: no command must run at the same time.
        self.busy = Lock()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Offered]:
        line = document.text_before_cursor
        try:
            with self.busy:
                found = self._completion.candidates(line)
        except Exception:
            # A defect in what completes a line must not cost the line.
            if debugging():
                raise
            return
        for start, text, meaning in found:
            yield Offered(text, start - len(line), display_meta=meaning)


class _Lines(Lines):
    """The history file as prompt_toolkit wants it."""

    def __init__(self, file: History) -> None:
        super().__init__()
        self._file: Optional[History] = file
        #: Why the history is no longer kept, until someone has told it.
        self.problem: Optional[HistoryError] = None
        try:
            file.prepare()
        except HistoryError as error:
            self._give_up(error)

    def load_history_strings(self) -> Iterable[str]:
        """The lines of earlier sessions, the newest first."""
        if self._file is None:
            return ()
        try:
            return reversed(self._file.load())
        except HistoryError as error:
            self._give_up(error)
            return ()

    def store_string(self, string: str) -> None:
        if self._file is not None:
            try:
                self._file.append(string)
            except HistoryError as error:
                self._give_up(error)

    def _give_up(self, error: HistoryError) -> None:
        self._file, self.problem = None, error


class PromptReader:
    """Reads lines with prompt_toolkit, from the terminal that its application session has."""

    def __init__(self, session: Session, history: Optional[History]) -> None:
        self._session = session
        self.completer = _Completer(session)
        self._lines = _Lines(history) if history is not None else None
        #: Lines of a paste that wait for the one before them to be run, and its unfinished last one.
        self._pasted: Deque[str] = deque()
        self._draft = ""
        self._prompt: PromptSession[str] = PromptSession(
            completer=self.completer,
            complete_in_thread=True,
            complete_while_typing=False,
            history=self._lines,
            key_bindings=self._bindings(),
            enable_suspend=True,
            color_depth=None if session.output.colour else ColorDepth.DEPTH_1_BIT,
        )

    def take_problem(self) -> Optional[HistoryError]:
        """Why the history is no longer kept; None where it is, and when this has been asked before."""
        if self._lines is None:
            return None
        found, self._lines.problem = self._lines.problem, None
        return found

    def read(self, prompt: str) -> str:
        """The next line. Raises EOFError at the end of input."""
        span = (Span(prompt, "prompt"),)
        message = ANSI(ansi(span) if self._session.output.colour else plain(span))
        if self._pasted:
            return self._show_pasted(message, self._pasted.popleft())
        draft, self._draft = self._draft, ""
        # The signal is the session's affair, and older releases of prompt_toolkit leave their own handler behind.
        line = self._prompt.prompt(message, default=draft, handle_sigint=False)
        with self.completer.busy:
            return line

    def _show_pasted(self, message: ANSI, line: str) -> str:
        """A line of a paste, shown and kept as if it had been typed."""
        print_formatted_text(message, printable(line), sep="", color_depth=self._prompt.color_depth)
        history = self._prompt.history
        if history.get_strings()[-1:] != [line]:
            history.append_string(line)
        return line

    def forget(self) -> None:
        """Drop what is left of a paste."""
        self._pasted.clear()
        self._draft = ""

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("enter", filter=completion_is_selected)
        def take_candidate(event: KeyPressEvent) -> None:
            """Enter on an entry of the menu takes it; the next Enter runs the line."""
            event.current_buffer.complete_state = None

        @bindings.add("c-c", filter=~is_searching)
        def clear(event: KeyPressEvent) -> None:
            """Ctrl-C clears the line."""
            event.current_buffer.reset()

        @bindings.add(Keys.BracketedPaste, filter=~is_searching)
        def paste(event: KeyPressEvent) -> None:
            """Every whole line of a paste is run, in order; what follows the last line end waits for its Enter."""
            text = event.data.replace("\r\n", "\n").replace("\r", "\n")
            *whole, rest = text.split("\n")
            whole = [line for line in whole if line.strip()]
            if not whole:
                event.current_buffer.insert_text(rest)
                return
            event.current_buffer.insert_text(whole[0])
            self._pasted.extend(whole[1:])
            self._draft = rest
            event.current_buffer.validate_and_handle()

        return bindings
