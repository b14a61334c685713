"""Tables for people: columns, styles on a terminal, and text that is safe to print."""

import os
import sys
from collections.abc import Sequence

BOLD, DIM, RED, YELLOW, PLAIN = "1", "2", "31", "33", ""
Cell = tuple[str, str]  # text and style


def print_rows(titles: Sequence[str], forms: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Prints a head and rows. `forms`: format of each column after the first, which is as wide as its longest text."""
    width = max(len(titles[0]), *(len(row[0][0]) for row in rows))
    is_colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for cells in [[(title, BOLD) for title in titles], *rows]:
        padded = zip(cells, (f"{{:<{width}}}", *forms), strict=True)
        line = "  ".join(_styled(form.format(text), style if is_colored else "") for (text, style), form in padded)
        print(line.rstrip())


def print_failure(file: str, error: str) -> None:
    """Prints on standard error why a file has no result: there a long message has room."""
    print(printable(f"{file}: {error}"), file=sys.stderr)


def printable(text: str) -> str:
    """Escapes what could steer the terminal, bytes of a file name that are no text, and what the output cannot hold."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    encoding = sys.stdout.encoding or "utf-8"  # None: the output is a string
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style and text.strip() else text
