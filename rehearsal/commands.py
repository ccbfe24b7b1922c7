"""
The commands of userquota, as administrators run them beside a load.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_USERQUOTA = Path(sys.executable).parent / "userquota"


@dataclass(frozen=True, slots=True)
class Ended:
    """
    How a command ended: its exit code, the document that it printed, None if there is none, and what went wrong.

    `seconds` is how long it took.
    """

    code: int
    document: Any
    trouble: str = ""
    seconds: float = 0.0


async def userquota(*words: str, kubeconfig: Path, stdin: str = "") -> Ended:
    """Run one command with `-o json`."""
    begun = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        _USERQUOTA,
        *words,
        "-o",
        "json",
        "--kubeconfig",
        kubeconfig,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    text = out.decode()
    document = json.loads(text) if text.startswith("{") else None
    trouble = err.decode().strip() or ("" if document is not None else text)
    return Ended(process.returncode or 0, document, trouble, time.monotonic() - begun)
