"""
Runs the measurements that need no network, each in a process of its own: the index, and decisions at different sizes
and on different kinds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import claims, machine, reviews
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS
from webhook.kinds.resource_claims import RESOURCE_CLAIMS

_PAGE = 500
"""Objects per page, as in the requests of the reflector."""

_SECONDS_AT_MOST = 300


class ChildError(Exception):
    """A measurement ended with an error, which it has printed."""


def index(pods: int, users: int, *, trace: bool = False) -> dict[str, Any]:
    """Return the time and memory of an index of *pods* pods of *users* users; with *trace* the exact bytes."""
    told = _listed((pods, 0, 0), users, "--trace" if trace else f"--events={users}")
    return {"pods": pods, "users": users, **told}


def memory(objects: tuple[int, int, int], users: int) -> dict[str, Any]:
    """Return the memory of an index of so many pods, PersistentVolumeClaims and ResourceClaims of *users* users."""
    return {"users": users, **_listed(objects, users)}


def _listed(objects: tuple[int, int, int], users: int, *options: str) -> dict[str, Any]:
    """Return what an index tells of itself once it has read the lists of so many *objects* of each kind."""
    with machine.pinned(machine.cpus().server):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.index", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    with process, machine.pinned(machine.cpus().client):
        assert process.stdin is not None
        assert process.stdout is not None
        for (kind, stored), count in zip(_stored(), objects, strict=True):
            for first in range(0, count, _PAGE):
                numbers = range(first, min(first + _PAGE, count))
                body = reviews.page(stored, numbers, users=users, version=count, kind=kind)
                process.stdin.write(len(body).to_bytes(8) + body)
            process.stdin.write(bytes(8))
        process.stdin.close()
        told = process.stdout.read()
    return _read(told, process.returncode)


def _stored() -> list[tuple[AnyKind, list[bytes]]]:
    """Return each kind with its templates, in the order of the lists."""
    volumes = claims.VOLUMES.variants(stored=True)
    devices = [*claims.DEVICES.variants(stored=True), *claims.CHOICES.variants(stored=True)]
    return [
        (PODS, reviews.stored_pods()),
        (PERSISTENT_VOLUME_CLAIMS, reviews.encoded(volumes)),
        (RESOURCE_CLAIMS, reviews.encoded(devices)),
    ]


def decisions(pods: Sequence[int]) -> dict[str, Any]:
    """Return the time of a decision with each of these numbers of pods, in turn."""
    return _run("benchmarks.decisions", *pods)


def kinds(objects: int, turns: int) -> dict[str, Any]:
    """Return the time of a decision on each kind, in *turns*, beside so many *objects* of each."""
    return _run("benchmarks.kinds", objects, turns)


def _run(program: str, *numbers: int) -> dict[str, Any]:
    with machine.pinned(machine.cpus().server):
        done = subprocess.run(
            [sys.executable, "-m", program, *map(str, numbers)],
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
