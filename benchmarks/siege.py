"""
`python -m benchmarks.siege`: five times the load that a replica can answer, and 10 000 idle connections. Some minutes.

Numbers are for the same run only: what a replica can answer is measured first, and all else compared with that.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import build, certificate, contestants, machine, wire
from benchmarks.contestants import OURS, Contestant

FACTOR = 5
CALLERS = 600
"""Reviews under way at once, at most: as many as three API servers with their defaults have."""

IDLE = 10_000
TIMEOUT = "5s"
_PROBE_SECONDS = 2.0
"""What the manifests' readiness probe waits."""


@dataclass
class Probes:
    """Health checks as a kubelet makes them, each over a connection of its own."""

    port: int
    tls: ssl.SSLContext
    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    most_in_a_row: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._probe, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _probe(self, ended: threading.Event) -> None:
        in_a_row = 0
        while not ended.wait(0.5):
            begun = time.monotonic()
            try:
                ask(self.port, self.tls)
            except OSError:
                self.failed += 1
                in_a_row += 1
                self.most_in_a_row = max(self.most_in_a_row, in_a_row)
            else:
                in_a_row = 0
            self.seconds.append(time.monotonic() - begun)


def ask(port: int, tls: ssl.SSLContext) -> None:
    """Raises: OSError, also if there is no answer in time."""
    connection = http.client.HTTPSConnection("localhost", port, context=tls, timeout=_PROBE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/readyz")
        connection.getresponse().read()


def overload(load: wire.Load, replica: Contestant, tls: ssl.SSLContext, *, seconds: float) -> dict[str, Any]:
    """Ask five times as fast as *replica* can answer; return what became of it, and how long it took to recover."""
    can = answered(load, replica, seconds=3)
    command = [
        each
        for each in load.command(wire.Run(OURS, "/validate", "m", int(can * FACTOR)), replica, seconds)
        if not each.startswith("-connections")
    ]
    command += [f"-connections={CALLERS}", f"-timeout={TIMEOUT}"]
    with machine.pinned(machine.cpus().client):
        callers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert callers.stdout is not None
    callers.stdout.readline()
    probes = Probes(replica.port, tls)
    with probes.running():
        told, _ = callers.communicate("go\n", timeout=seconds + 60)
    begun = time.monotonic()
    while True:
        asked = time.monotonic()
        with contextlib.suppress(OSError):
            ask(replica.port, tls)
            if time.monotonic() - asked < _PROBE_SECONDS / 4:
                break
    recovered = time.monotonic() - begun
    found = json.loads(told)
    return {
        "can answer, a second": round(can),
        "asked, a second": int(can * FACTOR),
        "became": found["counts"],
        "first that broke": found["first_breakage"],
        "decided, share of what can be": round(found["counts"].get("decided", 0) / found["seconds"] / can, 2),
        "seconds until decided": _quantiles(found["latency"].get("decided")),
        "seconds until 503": _quantiles(found["latency"].get("503")),
        "health checks": len(probes.seconds),
        "failed, at most in a row": probes.most_in_a_row,
        "seconds until it was back": round(recovered, 2),
    }


def idle(load: wire.Load, replica: Contestant, tls: ssl.SSLContext) -> dict[str, Any]:
    """Hold very many connections; return what they cost, and what a call beside them takes."""
    before, memory = answered(load, replica, seconds=3), machine.memory(replica.pid)[0]
    held: list[ssl.SSLSocket] = []
    for _ in range(IDLE):
        opened = socket.create_connection(("localhost", replica.port))
        held.append(tls.wrap_socket(opened, server_hostname="localhost"))
    grown = machine.memory(replica.pid)[0] - memory
    beside = answered(load, replica, seconds=3)
    for each in held:
        each.close()
    return {"idle connections": IDLE, "MB more": round(grown), "reviews a second, ratio": round(beside / before, 2)}


def answered(load: wire.Load, replica: Contestant, *, seconds: float) -> float:
    """Return how many reviews a second *replica* answers, one after the other on each connection."""
    run = load.run(wire.Run(OURS, "/validate", "m", wire.SATURATED), replica, seconds=seconds)
    return float(run["requests"] / run["seconds"])


def _quantiles(microseconds: dict[str, float] | None) -> dict[str, float]:
    return {name: round(value / 1e6, 2) for name, value in (microseconds or {}).items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.siege", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of overload (default: %(default)s)")
    asked = parser.parse_args()
    programs = build.programs(report=print, environ=os.environ)
    with tempfile.TemporaryDirectory(prefix="userquota-benchmark-") as name:
        folder = Path(name)
        certificate.write(folder, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - a certificate has dates
        tls = ssl.create_default_context(cafile=str(folder / "tls.crt"))
        load = wire.Load(programs / "load", folder)
        load.write_templates(("m",))
        with contestants.ours(folder) as replica:
            print(json.dumps(overload(load, replica, tls, seconds=asked.seconds), indent=1))
            print(json.dumps(idle(load, replica, tls), indent=1))


if __name__ == "__main__":
    main()
