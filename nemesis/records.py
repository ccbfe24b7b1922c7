"""
The records of a run, one per line: the revisions, the requests, the faults.

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
WRITER = "userquota.dev/writer"
"""The annotation of the ledger that names the replica which wrote it."""

FOREIGN = "nemesis/wrote-this"
"""The annotation that marks a ledger with a fault; the next write of a replica removes it."""

PODS, CLAIMS, DEVICE_CLAIMS = "pods", "persistentvolumeclaims", "resourceclaims.resource.k8s.io"
SESSIONS = "notebooks.kubeflow.org"
"""The kinds that are charged, as the ledger names them."""

PROBED_BEFORE = "probed-before-the-load"
"""The name of the session that is asked for, dry, until all API servers have the webhooks: no part of the history."""

SESSION_TYPE = {"apiVersion": "kubeflow.org/v1", "kind": "Notebook"}

CHARGED = (PODS, CLAIMS, DEVICE_CLAIMS, SESSIONS)

CLASS_LABEL, ZONE_LABEL = "nemesis/class", "topology.kubernetes.io/zone"
"""The labels of nodes. A class of nodes is named as the value of its label."""

SESSION_LABEL = "notebook-name"
"""The label of a pod of a session; its value is the name of the session, which has one pod at most."""

DRY_NAME, DRY_CPU = "dry-", "37m"
"""The prefix of the names that only dry-runs create, and the amount that only dry-runs of a resize request."""

STOPPED = "kubeflow-resource-stopped"
"""The annotation that stops a session."""

MIB = 2**20
REPORTED, DRY = 7, 3
"""
Bytes beyond whole MiB. Clients ask for whole MiB, a status reports 7 more, a dry-run of a growth asks for 3 more. So
the amount of a reservation tells what it is for.
"""

PROBE = "probe"
"""The verb of a dry-run at rest that requests too much: the refusal names the usage that a replica counts."""

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"

RecordT = TypeVar("RecordT", bound=Struct)


class Slot(NamedTuple):
    """One name in the API."""

    namespace: str
    name: str
    kind: str = PODS

    def __str__(self) -> str:
        path = f"{self.namespace}/{self.name}"
        return path if self.kind == PODS else f"{self.kind.partition('.')[0]} {path}"


class Container(Struct, frozen=True, omit_defaults=True):
    """The requests of one container, and what its kubelet has allocated to it."""

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
    is_released: bool = False
    """Whether it is being deleted without a grace period: ResourceQuota charges it no longer, though it exists."""
    session: str = ""
    """The name of the session whose pod it is, by its label."""
    selector: dict[str, str] = field(default_factory=dict)
    """Its `nodeSelector`."""

    @property
    def slot(self) -> Slot:
        return Slot(self.namespace, self.name)


class ClaimRevision(Struct, frozen=True, omit_defaults=True):
    """
    One change of a PersistentVolumeClaim or of a ResourceClaim, as etcd has it.

    `storage` is what a PersistentVolumeClaim asks for, `allocated` what its status reports; `devices` are what a
    ResourceClaim asks for, by device class.
    """

    at: float
    version: int
    event: str
    kind: str
    namespace: str
    name: str
    uid: str
    owner: str
    groups: tuple[str, ...]
    phase: str = ""
    storage: str = ""
    allocated: str = ""
    storage_class: str = ""
    devices: dict[str, int] = field(default_factory=dict)
    is_terminating: bool = False

    @property
    def slot(self) -> Slot:
        return Slot(self.namespace, self.name, self.kind)


class SessionRevision(Struct, frozen=True):
    """One change of a session, as etcd has it. `cpu` is what its pod asks for, also while it is stopped."""

    at: float
    version: int
    event: str
    namespace: str
    name: str
    uid: str
    owner: str
    groups: tuple[str, ...]
    cpu: str
    is_running: bool

    @property
    def slot(self) -> Slot:
        return Slot(self.namespace, self.name, SESSIONS)


Revision = PodRevision | ClaimRevision | SessionRevision


class NodeRevision(Struct, frozen=True, omit_defaults=True):
    """One change of a node, as etcd has it. `allocatable` are quantities, as its status reports them."""

    at: float
    version: int
    event: str
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    allocatable: dict[str, str] = field(default_factory=dict)
    takes_pods: bool = True
    """Whether it is ready, not cordoned and not being deleted."""


class TextRevision(Struct, frozen=True):
    """One change of a ConfigMap in our namespace: the ledger, or the policy."""

    at: float
    version: int
    event: str
    name: str
    uid: str
    text: str
    is_foreign: bool = False
    writer: str = ""
    """The replica that wrote a ledger, as its annotation says; recordings from before grants do not have it."""


class Edit(Struct, frozen=True, omit_defaults=True):
    """
    An edit of the policy, and its answer: `version` is the one at which it was stored, 0 if it was not.

    `agent` is the user agent of the call, by which the audit log knows it.
    """

    begun: float
    ended: float
    status: int
    version: int = 0
    is_forced: bool = False
    message: str = ""
    what: str = ""
    agent: str = ""
    text: str = ""


class AuditedEdit(Struct, frozen=True, omit_defaults=True):
    """An edit of the policy by the audit log. `is_unjudged`: no replica answered, and the webhook failed open."""

    agent: str
    code: int
    is_unjudged: bool = False


class Request(Struct, frozen=True, omit_defaults=True):
    """
    A request of a client, and its answer.

    `status` is 0 if no answer came; `name` is the generated one where the server made it. `cpu` is what was requested,
    and `asked` all that the object would cost, as quantities; recordings of pods only have no `asked`.
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
    kind: str = PODS
    asked: dict[str, str] = field(default_factory=dict)
    session: str = ""
    """The session whose pod the platform's controller creates."""
    place: str = ""
    """The class of nodes that a pod names, and after a slash the zone, if it names one."""

    @property
    def slot(self) -> Slot:
        return Slot(self.namespace, self.name, self.kind)


class Fault(Struct, frozen=True, omit_defaults=True):
    """A fault of *target*, and how long it lasted; for a kill until the process worked again."""

    kind: str
    target: str
    begun: float
    ended: float
    detail: str = ""


DIED, NOT_READY = "replica ended by itself", "replica not ready after all faults"
"""The kinds of faults that were not injected; the detail is the last message of the replica."""


class Life(Struct, frozen=True):
    """A time in which a replica was ready, pauses and faults of other processes included."""

    replica: str
    begun: float
    ended: float


class Audited(Struct, frozen=True, omit_defaults=True):
    """One write of a pod or a claim, by the audit log of an API server."""

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
    kind: str = PODS


class Run(Struct, frozen=True):
    """The plan of a run, and how far it got."""

    seed: int
    minutes: float
    replicas: int
    without: tuple[str, ...]
    load_seconds: float
    rest_began: float
    ended: float
    last_version: int
    final_pods: dict[str, int]
    """The consistent list of all kinds at the end: name to resource version. The replay must end with the same."""
    etcd_bytes: int = 0
    older: str = ""
    """A revision of this repository, whose code ran after `starts_of_older` starts of replicas."""
    starts_of_older: int = 0
    epoch: float = 0.0
    """When the run began, in seconds since 1970."""
    has_grants: bool = False
    """Whether replicas may allow creates in their memory."""


OBJECTS = {
    PODS: "pods.jsonl.gz",
    CLAIMS: "persistentvolumeclaims.jsonl.gz",
    DEVICE_CLAIMS: "resourceclaims.jsonl.gz",
    SESSIONS: "sessions.jsonl.gz",
}
"""The files of the revisions, by kind."""

TEXTS = "configmaps.jsonl.gz"
NODES = "nodes.jsonl.gz"
REQUESTS, AUDITED = "requests.jsonl.gz", "audit.jsonl.gz"
EDITS, AUDITED_EDITS = "edits.jsonl.gz", "audited-edits.jsonl.gz"
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
    """Return the records of a file in the order of writing; none if there is no file."""
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(kind)
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def objects(folder: Path) -> Iterator[Iterator[Revision]]:
    """Return the revisions of each kind, in the order of writing."""
    shapes: dict[str, type[Revision]] = {PODS: PodRevision, SESSIONS: SessionRevision}
    for kind, file in OBJECTS.items():
        yield read(folder / file, shapes.get(kind, ClaimRevision))
