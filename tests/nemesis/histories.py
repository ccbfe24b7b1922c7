"""Histories written by hand: the records of a run, one revision after the other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from nemesis import records
from nemesis.accounting import UNIT, quantity
from nemesis.records import (
    ADDED,
    DELETED,
    LEDGER,
    MODIFIED,
    PODS,
    POLICY,
    Audited,
    Container,
    Fault,
    Life,
    PodRevision,
    Request,
    Run,
    TextRevision,
)

NAMESPACE = "nemesis-a"
TWO_PODS = "version: 1\ndefaults: {user: {hard: {pods: 2}}}\n"
ONE_POD = "version: 1\ndefaults: {user: {hard: {pods: 1}}}\n"
THREE_PODS = "version: 1\ndefaults: {user: {hard: {pods: 3}}}\n"


class Held(NamedTuple):
    """A reservation as the ledger's text has it."""

    token: str
    name: str
    uid: str
    base: int = 0
    cpu: str = "10m"
    owner: str = "alice"


@dataclass
class History:
    """Each call is one revision, a tenth of a second after the one before."""

    at: float = 10.0
    version: int = 100
    epoch: str = "first-1"
    write: int = -1
    age: int = 0
    settled_through: int = 0
    held: list[Held] = field(default_factory=list)
    pods: dict[str, PodRevision] = field(default_factory=dict)
    records: dict[str, list[msgspec.Struct]] = field(default_factory=dict)

    # The policy and the ledger.

    def policy(self, text: str) -> None:
        self._text(POLICY, text, MODIFIED)

    def reserve(self, *held: Held) -> None:
        self.held += held
        self.swap()

    def let_go(self, *tokens: str, through: int | None = None) -> None:
        """Take reservations out; *through* is what was seen of their objects."""
        self.held = [each for each in self.held if each.token not in tokens]
        self.settled_through = through if through is not None else self.settled_through
        self.swap()

    def swap(self, *, is_open: bool = True) -> None:
        self.write += 1
        self._text(LEDGER, self.ledger_text(is_open=is_open), MODIFIED if self.write else ADDED)

    def begin_anew(self, epoch: str, *, is_open: bool = False) -> None:
        self.epoch, self.write, self.age, self.settled_through, self.held = epoch, -1, 0, 0, []
        self.swap(is_open=is_open)

    def lose_ledger(self) -> None:
        self._text(LEDGER, "", DELETED)

    def foreign_ledger(self, text: str) -> None:
        self._text(LEDGER, text, MODIFIED, is_foreign=True)

    def ledger_text(self, *, is_open: bool = True) -> str:
        owners = sorted({each.owner for each in self.held})
        body = json.dumps(
            {
                "object": "ledger-uid",
                "epoch": self.epoch,
                "state": "open" if is_open else "rebuilding",
                "write": self.write,
                "age": self.age,
                "settledThrough": {"pods": self.settled_through},
                "payers": [[owner, []] for owner in owners],
                "amounts": [[["pods", str(UNIT)], ["requests.cpu", str(quantity(each.cpu))]] for each in self.held],
                "reservations": [
                    [each.token, "pods", NAMESPACE, each.name, each.uid, each.base, owners.index(each.owner), number, 0]
                    for number, each in enumerate(self.held)
                ],
            }
        )
        return f"userquota-ledger 2 sha256={hashlib.sha256(body.encode()).hexdigest()}\n{body}\n"

    # Pods.

    def store(self, name: str, uid: str, *, cpu: str = "10m", owner: str = "alice", phase: str = "Pending") -> int:
        """Store or change a pod; return the version."""
        event = MODIFIED if name in self.pods else ADDED
        self._tick()
        containers = {"main": Container({"cpu": cpu})}
        pod = PodRevision(self.at, self.version, event, NAMESPACE, name, uid, owner, ("people",), phase, containers)
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

    # What else is recorded.

    def request(
        self, verb: str, name: str, *, status: int, message: str = "", reason: str = "", cpu: str = "10m"
    ) -> None:
        """A request that took the last tenth of a second."""
        self._tick()
        asked = Request(
            verb, "alice", NAMESPACE, name, self.at - 0.1, self.at, 0, status, cpu, verb == "probe", reason, message
        )
        self._add(records.REQUESTS, asked)

    def audited(self, code: int, *, is_decided: bool) -> None:
        self._add(records.AUDITED, Audited(1, "create", "alice", NAMESPACE, "x", code, is_decided=is_decided))

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
        run = Run(1, 1.0, 3, (), 60.0, rest_began if rest_began is not None else self.at, self.at, self.version, final)
        (folder / records.RUN).write_bytes(msgspec.json.encode(run))
        return folder

    def _text(self, name: str, text: str, event: str, *, is_foreign: bool = False) -> None:
        self._tick()
        self._add(records.TEXTS, TextRevision(self.at, self.version, event, name, "ledger-uid", text, is_foreign))

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


def refusal(*, used: int, reserved: int = 0, limited: int = 2, requested: int = 1, subject: str = "user/alice") -> str:
    """Return the refusal of another pod."""
    return (
        'admission webhook "validate.userquota.dev" denied the request: exceeded quota: defaults.user, '
        f"requested: pods={requested}, used: pods={used}, limited: pods={limited}, reserved: pods={reserved}, "
        f"free: pods={max(limited - used - reserved, 0)} for {subject}; would fit: nothing until a pod ends; "
        "charged to alice (created it)"
    )
