"""The commands that stand in the documents: whole blocks of `sh`, and in all others the lines after `$`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SCRIPTS = frozenset({"sh", "bash", "shell"})
_PROMPT = "$ "


def commands_in(text: str) -> list[str]:
    found = []
    for language, block in _BLOCK.findall(text):
        if language in _SCRIPTS:
            found.append(block)
        else:
            found += [line.removeprefix(_PROMPT) for line in block.splitlines() if line.startswith(_PROMPT)]
    return found


def commands_of(document: str) -> list[str]:
    return commands_in((ROOT / document).read_text())


def command(document: str, beginning: str) -> str:
    """Return the one command of *document* that is this, or else the one that begins so."""
    commands = commands_of(document)
    [found] = [each for each in commands if each == beginning] or [
        each for each in commands if each.startswith(beginning)
    ]
    return found


def printed_below(document: str, beginning: str) -> str:
    """Return what stands below that command in its block, up to the next one."""
    below = (ROOT / document).read_text().partition(f"{_PROMPT}{command(document, beginning)}\n")[2]
    return re.split(rf"^{re.escape(_PROMPT)}|^```", below, maxsplit=1, flags=re.MULTILINE)[0]
