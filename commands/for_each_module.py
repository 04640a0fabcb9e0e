"""`!for_each_module`: commands run for each loaded image."""

from __future__ import annotations

from dumpkit.aliases import replaced
from dumpkit.commands.flow import BlockLines, block_lines, kept
from dumpkit.errors import CommandError
from dumpkit.output import Line
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator


@command(
    "for_each_module",
    category="Session",
    summary="Runs commands for each loaded image",
    arguments=(Text("commands", 'COMMAND or "COMMANDS", with @#ModuleName and its like', holds="command"),),
    render=block_lines,
    raw=True,
)
def for_each_module(session: Session, commands: str = "") -> BlockLines:
    """Runs commands for each loaded image, by address: !for_each_module s -a @#Base @#End "text".

    In them stand @#ModuleIndex, @#ModuleName, @#ImageName, @#LoadedImageName, @#SymbolFileName, @#Base, @#Size, @#End,
    @#TimeDateStamp and @#Checksum for what the image has; ${@#Base} where no white space is around. Several commands
    stand in double quotes.
    """
    text = commands.strip()
    if not text:
        raise CommandError("for_each_module: the commands are missing")
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        text = text[1:-1]

    def lines() -> Iterator[Line]:
        symbols = session.dump.symbols
        for number, module in enumerate(session.dump.modules):
            named = {
                "ModuleIndex": f"{number:02x}",
                "ModuleName": module.name,
                "ImageName": module.image_path,
                "LoadedImageName": module.image_name,
                "SymbolFileName": symbols.symbol_file(module) or "",
                "Base": f"0x{module.base:x}",
                "Size": f"0x{module.end - module.base:x}",
                "End": f"0x{module.end:x}",
                "TimeDateStamp": f"0x{module.timestamp:x}",
                "Checksum": f"0x{module.checksum:x}",
            }
            yield from session.commands.block(replaced(text, {f"@#{name}": value for name, value in named.items()}))

    return BlockLines(kept(lines()))
