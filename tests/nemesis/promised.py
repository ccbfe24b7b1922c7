"""What was promised in histories, and the nodes that it is of."""

from __future__ import annotations

import json
from typing import Any

from nemesis.ledger_text import Place
from tests.nemesis.histories import History

A, B, ANY = Place("fast", "a"), Place("fast", "b"), Place("fast")

Entries = dict[str, dict[str, Any]]


def policy(commitments: Entries, tenants: dict[str, str] | None = None) -> str:
    several = {
        name: {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": place}}}
        for name, place in (tenants or {}).items()
    }
    classes = {"fast": {"nodes": {"matchLabels": {"nemesis/class": "fast"}}}}
    return json.dumps({"version": 1, "tenants": several, "nodeClasses": classes, "commitments": commitments})


def promise(gpus: int, zone: str = "a", **others: Any) -> dict[str, Any]:
    """What was promised to alice, unless *others* names somebody else."""
    holder = {} if {"user", "group", "namespace", "tenant"} & others.keys() else {"user": "alice"}
    return {**holder, "nodeClass": "fast", "zone": zone, "amounts": {"gpu": gpus}, **others}


def moment(seconds: int) -> str:
    """A time of the record, which begins in 1970."""
    return f"1970-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"


def begun(*promises: dict[str, Any], gpus: int = 4, is_ordered: bool = False) -> History:
    """A node in each of two zones, and what was promised of them; with a ledger that orders the edits, or without."""
    history = History(promised_at=1 if is_ordered else 0)
    history.policy(policy({f"c-{number}": each for number, each in enumerate(promises, start=1)}))
    history.node("fast-1", A, gpus=gpus)
    history.node("fast-2", B, gpus=gpus)
    history.swap()
    history.wait(10)
    return history


def refusal(*, used: int, requested: int = 1, has: int = 4, reserved: int = 0, zone: str = ", Zone In (a)") -> str:
    """Return the refusal of a pod on demand because nodes have no more."""
    return (
        'admission webhook "validate.userquota.dev" denied the request: exceeded quota: nodeClasses.fast[a], '
        f"requested: gpu={requested}, used: gpu={used}, limited: gpu={has}, reserved: gpu={reserved}, free: gpu=0 for "
        f"[NodeClass In (fast){zone}] cluster; would fit: gpu=0; charged to dave (created it)"
    )


def refused(
    history: History,
    message: str,
    *,
    user: str = "dave",
    gpus: str = "1",
    place: str = "fast/a",
    seconds: float = 0.1,
    verb: str = "create",
    name: str = "no",
) -> None:
    """A pod was refused, after some *seconds*; then time passes, so that the refusal is judged."""
    asked = {"pods": "1", "requests.cpu": "10m", "gpu": gpus}
    history.request(verb, name, status=403, message=message, asked=asked, user=user, place=place, seconds=seconds)
    history.wait(5)
    history.swap()
