"""Histories written by hand: the records of a run, one revision after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nemesis import records
from nemesis.accounting import quantity
from nemesis.ledger_text import NOWHERE, Place
from nemesis.records import (
    ADDED,
    CHARGED,
    CLAIMS,
    CLASS_LABEL,
    DELETED,
    DEVICE_CLAIMS,
    LEDGER,
    MODIFIED,
    PODS,
    POLICY,
    SESSION_LABEL,
    SESSIONS,
    ZONE_LABEL,
    Audited,
    AuditedEdit,
    ClaimRevision,
    Container,
    Edit,
    Fault,
    Life,
    NodeRevision,
    PodRevision,
    Request,
    Run,
    SessionRevision,
    Slot,
    TextRevision,
)

NAMESPACE = "nemesis-a"
TWO_PODS = "version: 1\ndefaults: {user: {hard: {pods: 2}}}\n"
ONE_POD = "version: 1\ndefaults: {user: {hard: {pods: 1}}}\n"
THREE_PODS = "version: 1\ndefaults: {user: {hard: {pods: 3}}}\n"


class Held(NamedTuple):
    """A reservation as the ledger's text has it; without `amounts` that of a pod."""

    token: str
    name: str
    uid: str
    base: int = 0
    cpu: str = "10m"
    owner: str = "alice"
    kind: str = PODS
    amounts: tuple[tuple[str, str], ...] = ()
    session: str = ""
    expected: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    place: Place = NOWHERE

    @property
    def account(self) -> list[object]:
        scopes = [
            f"{name}={value}" if value else name for name, value in zip(("NodeClass", "Zone"), self.place, strict=True)
        ]
        return [self.owner, list(self.groups), *([scopes] if self.place != NOWHERE else [])]

    def listed(self) -> list[list[str]]:
        return listed(self.amounts or (("pods", "1"), ("requests.cpu", self.cpu)))


def listed(amounts: Iterable[tuple[str, str]]) -> list[list[str]]:
    return [[name, str(quantity(amount))] for name, amount in amounts]


class Granted(NamedTuple):
    """A grant as the ledger's text has it; room by subject and resource, as quantities."""

    token: str
    holder: str
    room: dict[tuple[str, str], str]

    def listed(self) -> list[object]:
        room = [[*key, str(quantity(amount))] for key, amount in self.room.items()]
        return [self.holder, list(CHARGED), room, 0]


PODS_OF_ALICE = ("user/alice", "pods")


def granted(token: str, number: int = 1, *, holder: str = "r1") -> Granted:
    """A grant for a number of alice's pods."""
    return Granted(token, holder, {PODS_OF_ALICE: str(number)})


def held_session(token: str, name: str, uid: str, *, base: int = 0, cpu: str = "10m", owner: str = "alice") -> Held:
    """A reservation of a session that starts or grows, with the room of its pod."""
    amounts = ((f"count/{SESSIONS}", "1"), ("sessions", "1"))
    expected = (("pods", "1"), ("requests.cpu", cpu))
    return Held(token, name, uid, base, owner=owner, kind=SESSIONS, amounts=amounts, session=name, expected=expected)


def held_claim(token: str, name: str, uid: str, storage: str, *, base: int = 0, storage_class: str = "") -> Held:
    """A reservation of a PersistentVolumeClaim."""
    amounts = [("persistentvolumeclaims", "1"), ("requests.storage", storage)]
    if storage_class:
        amounts += [(f"{storage_class}.storageclass.storage.k8s.io/{each}", amount) for each, amount in amounts]
    several = (("count/persistentvolumeclaims", "1"), *amounts)
    return Held(token, name, uid, base, kind=CLAIMS, amounts=several)


def held_devices(token: str, name: str, uid: str, number: int, *, is_hidden_left_out: bool = False) -> Held:
    """A reservation of a ResourceClaim for GPUs; with the amount that only we derive `gpu` from, or without it."""
    amounts = [("gpu.nvidia.com.deviceclass.resource.k8s.io/devices", str(number))]
    if not is_hidden_left_out:
        amounts.append(("device/gpu.nvidia.com", str(number)))
    return Held(token, name, uid, kind=DEVICE_CLAIMS, amounts=tuple(amounts))


@dataclass
class History:
    """Each call is one revision, a tenth of a second after the one before."""

    at: float = 10.0
    version: int = 100
    epoch: str = "first-1"
    write: int = -1
    age: int = 0
    settled_through: int = 0
    settled: dict[str, int] = field(default_factory=dict)
    """The same for the other kinds."""
    held: list[Held] = field(default_factory=list)
    edits: dict[str, tuple[str, str, int, bool, int]] = field(default_factory=dict)
    """The marks of edits, by token: name, uid, base, whether that was part of the policy, waited."""
    policy_version: int = 0
    promised_at: int = 0
    grants: list[Granted] = field(default_factory=list)
    recalls: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """The limit keys, by token."""
    writer: str = ""
    """The replica that writes the ledger from now on."""
    has_grants: bool = False
    """Whether replicas were started with grants."""
    stored_policy: int = 0
    """The version of the newest policy."""
    pods: dict[str, PodRevision] = field(default_factory=dict)
    claims: dict[Slot, ClaimRevision] = field(default_factory=dict)
    sessions: dict[Slot, SessionRevision] = field(default_factory=dict)
    records: dict[str, list[msgspec.Struct]] = field(default_factory=dict)
    _edits: int = 0

    # The policy and the ledger.

    def policy(self, text: str) -> None:
        self._text(POLICY, text, MODIFIED)
        self.stored_policy = self.version

    def reserve(self, *held: Held) -> None:
        self.held += held
        self.swap()

    def let_go(self, *tokens: str, through: int | None = None, kind: str = PODS) -> None:
        """Take reservations out; *through* is what was seen of their objects."""
        self.held = [each for each in self.held if each.token not in tokens]
        if kind != PODS and through is not None:
            self.settled[kind] = through
        else:
            self.settled_through = through if through is not None else self.settled_through
        self.swap()

    def grant(self, *several: Granted, through: int | None = None) -> None:
        """Have its holder write a grant, instead of the one before; *through* is what it has seen stored."""
        self.writer = several[0].holder
        self._regrant(self.writer, several, through)

    def give_back(self, holder: str = "r1", *held: Held, through: int | None = None) -> None:
        """Have a holder write reservations instead of its grant."""
        self.writer = holder
        self.held += held
        self._regrant(holder, (), through)

    def take_out(self, holder: str = "r1", *, by: str = "r2", through: int | None = None) -> None:
        """Have another replica take out the grant of a holder."""
        self.writer = by
        self._regrant(holder, (), through)

    def _regrant(self, holder: str, several: tuple[Granted, ...], through: int | None) -> None:
        self.grants = [*(each for each in self.grants if each.holder != holder), *several]
        self.settled_through = self.settled_through if through is None else through
        self.swap()

    def swap(self, *, is_open: bool = True) -> None:
        self.write += 1
        self._text(LEDGER, self.ledger_text(is_open=is_open), MODIFIED if self.write else ADDED)

    def begin_anew(self, epoch: str, *, is_open: bool = False) -> None:
        self.epoch, self.write, self.age, self.settled_through, self.held = epoch, -1, 0, 0, []
        self.settled, self.edits, self.policy_version, self.promised_at = {}, {}, 0, 0
        self.grants, self.recalls = [], {}
        self.swap(is_open=is_open)

    def lose_ledger(self) -> None:
        self._text(LEDGER, "", DELETED)

    def foreign_ledger(self, text: str) -> None:
        self._text(LEDGER, text, MODIFIED, is_foreign=True)

    def ledger_text(self, *, is_open: bool = True) -> str:
        accounts = [each.account for each in self.held]
        amounts = [each.listed() for each in self.held]
        sessions = {
            each.token: [[[[SESSION_LABEL, each.session]]], len(self.held) + number if each.expected else None]
            for number, each in enumerate(self.held)
            if each.session
        }
        amounts += [listed(each.expected) for each in self.held] if sessions else []
        body = json.dumps(
            {
                "object": "ledger-uid",
                "epoch": self.epoch,
                "state": "open" if is_open else "rebuilding",
                "write": self.write,
                "age": self.age,
                "settledThrough": {"pods": self.settled_through, **self.settled},
                "payers": accounts,
                "amounts": amounts,
                "reservations": [
                    [
                        each.token,
                        each.kind,
                        NAMESPACE,
                        each.name,
                        each.uid,
                        each.base,
                        number,
                        number,
                        0,
                    ]
                    for number, each in enumerate(self.held)
                ],
                **({"sessions": sessions} if sessions else {}),
                **(order := self._order()),
                **(of_grants := self._of_grants()),
            }
        )
        form = 5 if of_grants else 4 if order else 3 if sessions else 2
        return f"userquota-ledger {form} sha256={hashlib.sha256(body.encode()).hexdigest()}\n{body}\n"

    def _order(self) -> dict[str, object]:
        told = {"edits": self.edits, "policyVersion": self.policy_version, "promisedAt": self.promised_at}
        return {name: value for name, value in told.items() if value}

    def _of_grants(self) -> dict[str, object]:
        told = {"grants": {each.token: each.listed() for each in self.grants}, "recalls": self.recalls}
        return {name: value for name, value in told.items() if value}

    # Pods.

    def store(
        self,
        name: str,
        uid: str,
        *,
        cpu: str = "10m",
        owner: str = "alice",
        phase: str = "Pending",
        device: str = "",
        session: str = "",
        groups: tuple[str, ...] = ("people",),
        number: int = 1,
        place: Place = NOWHERE,
    ) -> int:
        """Store or change a pod, which may ask for a *number* of one device; return the version."""
        event = MODIFIED if name in self.pods else ADDED
        self._tick()
        containers = {"main": Container({"cpu": cpu, **({device: str(number)} if device else {})})}
        selector = {label: value for label, value in zip((CLASS_LABEL, ZONE_LABEL), place, strict=True) if value}
        pod = PodRevision(
            self.at,
            self.version,
            event,
            NAMESPACE,
            name,
            uid,
            owner,
            groups,
            phase,
            containers,
            session=session,
            selector=selector,
        )
        self.pods[name] = pod
        self._add(records.OBJECTS[PODS], pod)
        return self.version

    def terminate(self, name: str, *, is_released: bool) -> int:
        """Mark a pod as being deleted; without a grace period it is released at once."""
        self._tick()
        pod = msgspec.structs.replace(
            self.pods[name], at=self.at, version=self.version, event=MODIFIED, is_released=is_released
        )
        self.pods[name] = pod
        self._add(records.OBJECTS[PODS], pod)
        return self.version

    def delete(self, name: str) -> int:
        self._tick()
        gone = msgspec.structs.replace(self.pods.pop(name), at=self.at, version=self.version, event=DELETED)
        self._add(records.OBJECTS[PODS], gone)
        return self.version

    def admit(self, name: str, uid: str, *, cpu: str = "10m") -> int:
        """Perform a usual create: reserved, stored, seen, settled. Return the version at which it was stored."""
        self.reserve(Held(f"t-{uid}", name, uid, cpu=cpu))
        version = self.store(name, uid, cpu=cpu)
        self.let_go(f"t-{uid}", through=version)
        return version

    # Pods in classes of nodes, and what is promised there.

    def node(self, name: str, place: Place, *, gpus: int, cpu: str = "1", takes_pods: bool = True) -> None:
        """Store or change a node."""
        self._tick()
        labels = {CLASS_LABEL: place.node_class, ZONE_LABEL: place.zone}
        has = {"nvidia.com/gpu": str(gpus), "cpu": cpu}
        self._add(records.NODES, NodeRevision(self.at, self.version, MODIFIED, name, labels, has, takes_pods))

    def mark(self, name: str = "m", *, base: int = 0) -> None:
        """Mark an edit of the newest policy, or of another version, in the ledger: it is judged next."""
        self.edits[name] = (POLICY, "ledger-uid", base or self.stored_policy, True, 0)
        self.swap()

    def unmark(self, name: str = "m", *, is_in_force: bool = True) -> None:
        """Take a mark out of the ledger, because its edit is in force, or came to nothing."""
        del self.edits[name]
        self.policy_version = self.stored_policy if is_in_force else self.policy_version
        self.swap()

    def edit_in_order(self, text: str, **others: Any) -> None:
        """Mark an edit, store it, see it in force."""
        self.mark()
        self.edit(text, **others)
        self.unmark()

    def edit(
        self,
        text: str,
        *,
        is_forced: bool = False,
        is_unjudged: bool = False,
        is_answered: bool = True,
        message: str = "",
        seconds: float = 0.05,
    ) -> None:
        """Edit the policy; with a *message* the edit is refused with it. The client may get no answer."""
        self._edits += 1
        if message:
            self._tick()
        else:
            self.policy(text)
        stored, agent = 0 if message else self.version, f"edit-{self._edits}"
        status = 403 if message else 200
        begun = self.at - seconds
        answer = (status, stored) if is_answered else (0, 0)
        told = Edit(begun, self.at, *answer, is_forced, message, what="edit", agent=agent, text=text)
        self._add(records.EDITS, told)
        self._add(records.AUDITED_EDITS, AuditedEdit(agent, status, is_unjudged))

    def hold_gpus(
        self, name: str, uid: str, number: int, *, owner: str, place: Place, groups: tuple[str, ...] = ()
    ) -> None:
        """Reserve a pod that asks for GPUs in a place."""
        amounts = (("pods", "1"), ("requests.cpu", "10m"), ("requests.nvidia.com/gpu", str(number)))
        self.reserve(Held(f"t-{uid}", name, uid, owner=owner, amounts=amounts, groups=groups, place=place))

    def store_gpus(
        self, name: str, uid: str, number: int, *, owner: str, place: Place, groups: tuple[str, ...] = ()
    ) -> int:
        return self.store(
            name, uid, owner=owner, device="nvidia.com/gpu", number=number, place=place, groups=groups or ("people",)
        )

    def admit_gpus(
        self, name: str, uid: str, number: int, *, owner: str, place: Place, groups: tuple[str, ...] = ()
    ) -> int:
        """Reserve, store, see and settle a pod that asks for GPUs in a place. Return the version."""
        self.hold_gpus(name, uid, number, owner=owner, place=place, groups=groups)
        version = self.store_gpus(name, uid, number, owner=owner, place=place, groups=groups)
        self.let_go(f"t-{uid}", through=version)
        return version

    # Claims.

    def store_claim(
        self, name: str, uid: str, storage: str, *, allocated: str = "", storage_class: str = "", owner: str = "alice"
    ) -> int:
        """Store or change a PersistentVolumeClaim; return the version."""
        return self._store(
            ClaimRevision(
                0, 0, "", CLAIMS, NAMESPACE, name, uid, owner, ("people",), "Bound", storage, allocated, storage_class
            )
        )

    def store_devices(self, name: str, uid: str, number: int) -> int:
        """Store a ResourceClaim for GPUs; return the version."""
        devices = {"gpu.nvidia.com": number}
        return self._store(
            ClaimRevision(0, 0, "", DEVICE_CLAIMS, NAMESPACE, name, uid, "alice", ("people",), devices=devices)
        )

    def _store(self, claim: ClaimRevision) -> int:
        self._tick()
        event = MODIFIED if claim.slot in self.claims else ADDED
        claim = msgspec.structs.replace(claim, at=self.at, version=self.version, event=event)
        self.claims[claim.slot] = claim
        self._add(records.OBJECTS[claim.kind], claim)
        return self.version

    def delete_claim(self, name: str, kind: str = CLAIMS) -> int:
        self._tick()
        gone = self.claims.pop(Slot(NAMESPACE, name, kind))
        gone = msgspec.structs.replace(gone, at=self.at, version=self.version, event=DELETED)
        self._add(records.OBJECTS[kind], gone)
        return self.version

    def admit_claim(
        self, name: str, uid: str, storage: str, *, base: int = 0, allocated: str = "", storage_class: str = ""
    ) -> int:
        """
        Reserve, store, see and settle a claim, or a change of it: *base* is the version before. Return the version.

        With *allocated* its status reports that much, which is what is reserved.
        """
        token = f"t-{uid}-{base}"
        self.reserve(held_claim(token, name, uid, allocated or storage, base=base, storage_class=storage_class))
        version = self.store_claim(name, uid, storage, allocated=allocated, storage_class=storage_class)
        self.let_go(token, through=version, kind=CLAIMS)
        return version

    def admit_devices(self, name: str, uid: str, number: int) -> int:
        """The same for a ResourceClaim."""
        self.reserve(held_devices(f"t-{uid}", name, uid, number))
        version = self.store_devices(name, uid, number)
        self.let_go(f"t-{uid}", through=version, kind=DEVICE_CLAIMS)
        return version

    # Sessions.

    def store_session(
        self, name: str, uid: str, *, cpu: str = "10m", owner: str = "alice", is_running: bool = True
    ) -> int:
        """Store or change a session; return the version."""
        self._tick()
        slot = Slot(NAMESPACE, name, SESSIONS)
        event = MODIFIED if slot in self.sessions else ADDED
        session = SessionRevision(
            self.at, self.version, event, NAMESPACE, name, uid, owner, ("people",), cpu, is_running
        )
        self.sessions[slot] = session
        self._add(records.OBJECTS[SESSIONS], session)
        return self.version

    def delete_session(self, name: str) -> None:
        self._tick()
        gone = self.sessions.pop(Slot(NAMESPACE, name, SESSIONS))
        gone = msgspec.structs.replace(gone, at=self.at, version=self.version, event=DELETED)
        self._add(records.OBJECTS[SESSIONS], gone)

    def admit_session(self, name: str, uid: str, *, base: int = 0, cpu: str = "10m", owner: str = "alice") -> int:
        """Reserve, store, see and settle a start or growth: *base* is the version before. Return the version."""
        token = f"t-{uid}-{base}"
        self.reserve(held_session(token, name, uid, base=base, cpu=cpu, owner=owner))
        version = self.store_session(name, uid, cpu=cpu, owner=owner)
        self.let_go(token, through=version, kind=SESSIONS)
        return version

    def admit_its_pod(self, session: str, uid: str, *, cpu: str = "10m", owner: str = "alice") -> int:
        """Reserve, store, see and settle the pod of a session. Return the version."""
        name = f"{session}-0"
        self.reserve(Held(f"t-{uid}", name, uid, cpu=cpu, owner=owner, session=session))
        version = self.store(name, uid, cpu=cpu, owner=owner, session=session)
        self.let_go(f"t-{uid}", through=version)
        return version

    # What else is recorded.

    def request(
        self,
        verb: str,
        name: str,
        *,
        status: int,
        message: str = "",
        reason: str = "",
        cpu: str = "10m",
        kind: str = PODS,
        asked: dict[str, str] | None = None,
        session: str = "",
        user: str = "alice",
        place: str = "",
        seconds: float = 0.1,
    ) -> None:
        """A request that took the last *seconds*."""
        self._tick()
        asked_for = Request(
            verb, user, NAMESPACE, name, self.at - seconds, self.at, 0, status, cpu, verb == "probe", reason, message
        )
        asked_for = msgspec.structs.replace(asked_for, kind=kind, asked=asked or {}, session=session, place=place)
        self._add(records.REQUESTS, asked_for)

    def audited(self, code: int, *, is_decided: bool, name: str = "x", kind: str = PODS) -> None:
        told = Audited(1, "create", "alice", NAMESPACE, name, code, is_decided=is_decided, kind=kind)
        self._add(records.AUDITED, told)

    def fault(self, kind: str, target: str, seconds: float) -> None:
        """A fault that has just ended."""
        self._add(records.FAULTS, Fault(kind, target, self.at - seconds, self.at))

    def life(self, replica: str, begun: float, ended: float) -> None:
        self._add(records.LIVES, Life(replica, begun, ended))

    def wait(self, seconds: float) -> None:
        self.at += seconds

    def write_to(self, folder: Path, *, rest_began: float | None = None) -> Path:
        """Leave everything in *folder*, as a run does."""
        for name, several in self.records.items():
            writer = records.Writer(folder / name)
            for each in several:
                writer.write(each)
            writer.close()
        final = {f"{NAMESPACE}/{name}": pod.version for name, pod in self.pods.items()}
        others: dict[Slot, ClaimRevision | SessionRevision] = {**self.claims, **self.sessions}
        final |= {str(slot): each.version for slot, each in others.items()}
        run = Run(1, 1.0, 3, (), 60.0, rest_began if rest_began is not None else self.at, self.at, self.version, final)
        run = msgspec.structs.replace(run, has_grants=self.has_grants)
        (folder / records.RUN).write_bytes(msgspec.json.encode(run))
        return folder

    def _text(self, name: str, text: str, event: str, *, is_foreign: bool = False) -> None:
        self._tick()
        writer = self.writer if name == LEDGER else ""
        self._add(
            records.TEXTS, TextRevision(self.at, self.version, event, name, "ledger-uid", text, is_foreign, writer)
        )

    def _tick(self) -> None:
        self.at = round(self.at + 0.1, 3)
        self.version += 1

    def _add(self, file: str, record: msgspec.Struct) -> None:
        self.records.setdefault(file, []).append(record)


def begun(policy: str = TWO_PODS) -> History:
    """A policy, and an empty ledger."""
    history = History()
    history.policy(policy)
    history.swap()
    history.wait(10)
    return history


def refusal(
    *, used: int, reserved: int = 0, limited: int = 2, requested: int = 1, subject: str = "user/alice", of: str = "pods"
) -> str:
    """Return the refusal of another pod, or of something else that needs *of*."""
    return (
        'admission webhook "validate.userquota.dev" denied the request: exceeded quota: defaults.user, '
        f"requested: {of}={requested}, used: {of}={used}, limited: {of}={limited}, reserved: {of}={reserved}, "
        f"free: {of}={max(limited - used - reserved, 0)} for {subject}; would fit: nothing until a pod ends; "
        "charged to alice (created it)"
    )
