"""
Runs the measurements that need no network, each in a process of its own: the index, and decisions at different sizes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import machine, reviews

_PAGE = 500
"""Pods per page, as in the requests of the reflector."""

_SECONDS_AT_MOST = 300


class ChildError(Exception):
    """A measurement ended with an error, which it has printed."""


def index(pods: int, users: int, *, trace: bool = False) -> dict[str, Any]:
    """Return the time and memory of an index of *pods* pods of *users* users; with *trace* the exact bytes."""
    command = [sys.executable, "-m", "benchmarks.index", f"--pods={pods}", f"--users={users}"]
    with machine.pinned(machine.cpus().server):
        process = subprocess.Popen(
            [*command, *(["--trace"] if trace else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    with process, machine.pinned(machine.cpus().client):
        assert process.stdin is not None
        assert process.stdout is not None
        stored = reviews.stored_pods()
        for first in range(0, pods, _PAGE):
            body = reviews.page(stored, range(first, min(first + _PAGE, pods)), users=users, version=pods)
            process.stdin.write(len(body).to_bytes(8) + body)
        process.stdin.close()
        told = process.stdout.read()
    return _read(told, process.returncode)


def decisions(pods: Sequence[int]) -> dict[str, Any]:
    """Return the time of a decision with each of these numbers of pods, in turn."""
    with machine.pinned(machine.cpus().server):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.decisions", *map(str, pods)],
            stdout=subprocess.PIPE,
            timeout=_SECONDS_AT_MOST,
            check=False,
        )
    return _read(done.stdout, done.returncode)


def _read(told: bytes, returncode: int | None) -> dict[str, Any]:
    if returncode:
        raise ChildError(f"a measurement ended with {returncode}")
    read: dict[str, Any] = json.loads(told)
    return read
