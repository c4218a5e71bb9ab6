"""What a program wrote to a terminal, as an SVG picture for light and dark pages.

    data, status = watched(["vitas-hw", "runs"], folder, columns=80)
    svg(lines_of(data, columns=80), "light", "vitas-hw runs")

The program runs under a pseudo-terminal, so that it draws what people see; pyte keeps what stands there at the end, and
rich draws it, with the reader's own fixed-width font.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

LINES = 1000  # more than a command writes
_OF_COLOURS = ("NO_COLOR", "FORCE_COLOR", "COLORTERM")
COLOURS = {  # background, text, black, red, green, yellow, blue, magenta, cyan, white; letters have a contrast of 4.5
    "light": "ffffff 1b1f24 1b1f24 b42318 14743f 7a5600 1f5fd0 6d4bc3 0b6b7d 5c6570",
    "dark": "181e25 e7ebef a0abb7 ff8a80 5fd18f e0b64a 6cb0ff bda2ff 5ecbdb e7ebef",
}
# rich's own, without the font that it loads from a server and without a window around
_FORMAT = """\
<svg viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>{title}</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
<rect width="{terminal_width}" height="{terminal_height}" rx="8" fill="BACKGROUND" stroke="#7d8a98"/>
<g transform="translate(8, 8)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def watched(words: Sequence[str], folder: Path, columns: int) -> tuple[bytes, int]:
    """All that a program writes to a terminal of so many columns, and its exit status.

    Args:
        words: the program and its arguments.
        folder: where it runs.
        columns: of the terminal.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in _OF_COLOURS}
    about = plain | {"TERM": "xterm-256color", "COLUMNS": f"{columns}", "LINES": "50"}
    with subprocess.Popen(words, cwd=folder, env=about, stdin=theirs, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        found = bytearray()
        try:
            while piece := os.read(ours, 65536):
                found += piece
        except OSError:  # Linux's way to say that the other side is closed
            pass
    os.close(ours)
    return bytes(found), program.returncode


def lines_of(data: bytes, columns: int) -> list[Text]:
    """What stands on the terminal at the end, line by line, colours included; empty lines at the end left out."""
    import pyte

    screen = pyte.Screen(columns, LINES)
    pyte.ByteStream(screen).feed(data)
    found = []
    for row in range(LINES):
        line, cells = Text(), [screen.buffer[row][column] for column in range(columns)]
        for style, alike in groupby(cells, key=_style):
            line.append("".join(cell.data for cell in alike), style)
        line.rstrip()
        found.append(line)
    while found and not found[-1].plain:
        found.pop()
    return found


def svg(lines: Sequence[Text], scheme: str, title: str) -> str:
    """The picture: as wide as its longest line.

    Args:
        lines: to draw.
        scheme: ``light`` or ``dark``.
        title: what it shows, for readers who cannot see it.
    """
    console = Console(record=True, file=io.StringIO(), width=max(line.cell_len for line in lines) + 2)
    for line in (*lines, Text()):  # the last one is the margin below
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    back, text, *ansi = (tuple(bytes.fromhex(colour)) for colour in COLOURS[scheme].split())
    theme = TerminalTheme(back, text, ansi)
    drawn = _FORMAT.replace("BACKGROUND", theme.background_color.hex).replace("{title}", title)
    return console.export_svg(theme=theme, code_format=drawn, unique_id=f"terminal-{scheme}")


def _style(cell: Any) -> Style:
    """Of a character of pyte."""
    on = {"bold": cell.bold, "italic": cell.italics, "reverse": cell.reverse}
    on = {name: True for name, value in on.items() if value}
    return Style(color=_colour(cell.fg), bgcolor=_colour(cell.bg), **on)


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    bright, plain = name.startswith("bright"), name.removeprefix("bright").replace("brown", "yellow")
    return f"bright_{plain}" if bright else plain
