"""
What a run leaves behind, one record per line: what was stored, what was asked, what was done to whom.

Nothing is judged or computed here. Times are seconds since the run began, on one monotonic clock.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct, field

SYSTEM_NAMESPACE = "userquota-system"
LEDGER = "userquota-ledger"
POLICY = "userquota-policy"
FOREIGN = "nemesis/wrote-this"
"""The annotation by which a ledger that was tampered with is known; a replica's next write takes it away."""

DRY_NAME, DRY_CPU = "dry-", "37m"
"""How the names begin of what only dry-runs create, and what only dry-runs of a resize ask for."""

PROBE = "probe"
"""The verb of a dry-run that asks for too much at rest, to hear what a replica counts."""

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"

RecordT = TypeVar("RecordT", bound=Struct)


class Slot(NamedTuple):
    """One name of a pod in the API."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Container(Struct, frozen=True, omit_defaults=True):
    """What one container asks for, and what its kubelet has set aside for it."""

    requests: dict[str, str] = field(default_factory=dict)
    allocated: dict[str, str] = field(default_factory=dict)
    actual: dict[str, str] = field(default_factory=dict)


class PodRevision(Struct, frozen=True):
    """One change of a pod, as etcd has it."""

    at: float
    version: int
    event: str
    namespace: str
    name: str
    uid: str
    owner: str
    groups: tuple[str, ...]
    phase: str
    containers: dict[str, Container]

    @property
    def slot(self) -> Slot:
        return Slot(self.namespace, self.name)


class TextRevision(Struct, frozen=True):
    """One change of a ConfigMap in our namespace: the ledger, or the policy."""

    at: float
    version: int
    event: str
    name: str
    uid: str
    text: str
    is_foreign: bool = False


class Request(Struct, frozen=True, omit_defaults=True):
    """
    What a client asked for, and what it was told.

    `status` is 0 when no answer came; `name` is the generated one where the server made it. `cpu` is what was asked.
    """

    verb: str
    user: str
    namespace: str
    name: str
    begun: float
    ended: float
    server: int
    status: int
    cpu: str = ""
    is_dry_run: bool = False
    reason: str = ""
    message: str = ""

    @property
    def slot(self) -> Slot:
        return Slot(self.namespace, self.name)


class Fault(Struct, frozen=True, omit_defaults=True):
    """Something that was done to *target*, and how long it lasted; for a kill until the process worked again."""

    kind: str
    target: str
    begun: float
    ended: float
    detail: str = ""


DIED, NOT_READY = "replica ended by itself", "replica not ready after all faults"
"""The kinds of faults that nobody asked for; the detail is what the replica said last."""


class Life(Struct, frozen=True):
    """A time in which a replica was ready to work, faults of others and pauses notwithstanding."""

    replica: str
    begun: float
    ended: float


class Audited(Struct, frozen=True, omit_defaults=True):
    """What an API server's audit log says of one write of a pod."""

    server: int
    verb: str
    user: str
    namespace: str
    name: str
    code: int
    subresource: str = ""
    is_dry_run: bool = False
    is_decided: bool = False
    message: str = ""


class Run(Struct, frozen=True):
    """What was asked for, and how far it got."""

    seed: int
    minutes: float
    replicas: int
    without: tuple[str, ...]
    load_seconds: float
    rest_began: float
    ended: float
    last_version: int
    final_pods: dict[str, int]
    """Of a consistent list at the end: `namespace/name` to resource version. The replay must arrive at the same."""
    etcd_bytes: int = 0


PODS, TEXTS = "pods.jsonl.gz", "configmaps.jsonl.gz"
REQUESTS, AUDITED = "requests.jsonl.gz", "audit.jsonl.gz"
FAULTS, LIVES, RUN = "faults.jsonl", "lives.jsonl", "run.json"


class Writer:
    """Appends records to a file, compressed where its name says so."""

    def __init__(self, path: Path) -> None:
        is_compressed = path.suffix == ".gz"
        self._file = gzip.open(path, "wb", compresslevel=1) if is_compressed else path.open("wb")  # noqa: SIM115 - closed by close
        self._encoder = msgspec.json.Encoder()
        self.count = 0

    def write(self, record: Struct) -> None:
        self._file.write(self._encoder.encode(record) + b"\n")
        self.count += 1

    def close(self) -> None:
        self._file.close()


def read(path: Path, kind: type[RecordT]) -> Iterator[RecordT]:
    """Give the records of a file in the order they were written; none if there is no file."""
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(kind)
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)
