"""
The life of a session of each shipped preset, step by step, and what has to come of each step.

`preset_walks` has what differs between presets. `test_session_presets` takes every step on a real API server, and
docs/sessions.md has `table`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from webhook.documents.shipped_presets import shipped
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS

Json: TypeAlias = dict[str, Any]
Change: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A merge patch, or a JSON patch where something inside a list changes."""

LIMIT = 2
"""Of `sessions`, for each person. Those that are stopped have no place."""

SESSIONS, PER_SESSION = "sessions", "perSession"
PERSON, ACCOUNT = "person", "account"
NAME = "PERSON"
"""Stands for the name of the person in what an account writes."""

IN_LAST_VERSION = ("two", "three")
"""The sessions that are made and changed in the last version of their kind; the others are in the first, as stored."""


@dataclass(frozen=True, slots=True)
class Resize:
    """
    A cap on one session, and changes after which a session is as large as that, larger, and smaller.

    `asked` and `limited` are the amounts in the refusal.
    """

    cap: Mapping[str, str]
    fills: Change
    exceeds: Change
    shrinks: Change
    asked: str
    limited: str


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """
    A preset, and the `example` among its fixtures that each session is made of.

    `account` makes sessions for people as a delegate of the policy. It names them by what it `says` on the object, or
    by what the `namespace` is annotated with, and a refusal tells that as `mark`; `marks` are those that the policy has
    for it beside the preset. `resize_at` and `end_at` are subresources. `lacks` says why the walk has fewer steps than
    others.
    """

    preset: str
    account: str
    mark: str
    says: Json = field(default_factory=dict)
    namespace: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[Json] = ()
    resize: Resize | None = None
    stop: Change | None = None
    start: Change | None = None
    end: Change | None = None
    resize_at: str = ""
    end_at: str = ""
    example: str = "running"
    lacks: str = ""

    def __str__(self) -> str:
        """Return the preset, and the example where it is another one than usual."""
        return self.preset if self.example == "running" else f"{self.preset} ({self.example})"

    @property
    def username(self) -> str:
        """That of the account."""
        return f"system:serviceaccount:{self.account.replace('/', ':')}"

    @property
    def is_of_sessions(self) -> bool:
        """Whether its objects are counted as sessions: not those of Kubernetes' own kinds, except pods."""
        return KINDS.of_resource(shipped(self.preset).resource) in (None, PODS)

    def api_version(self, session: str) -> str:
        """Return the version with its group, in which a session is asked for."""
        return shipped(self.preset).api_versions[-1 if session in IN_LAST_VERSION else 0]

    def collection(self, place: str, session: str) -> str:
        """Return the path of the objects in a namespace, in the version for a session."""
        version = self.api_version(session)
        return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{place}/{shipped(self.preset).plural}"


@dataclass(frozen=True, slots=True)
class Step:
    """A request for the session `name`, and what is charged in `sessions` afterwards; `limit` is what refuses it."""

    column: str
    method: str
    name: str
    charge: int
    change: Change | None = None
    limit: str = ""
    subresource: str = ""

    @property
    def cell(self) -> str:
        return f"refused, {self.charge}" if self.limit else str(self.charge)


COLUMNS = (
    "one",
    "at the limit",
    "above it",
    "fills the cap",
    "above the cap",
    "smaller",
    "stop",
    "another one",
    "start at the limit",
    "delete",
    "start",
    "end",
)


def steps(walk: Walk) -> Iterator[Step]:
    """Yield what happens in the walk, in this order; what the preset has no notion of is left out."""
    every = _steps(walk)
    return every if walk.is_of_sessions else (replace(each, charge=0, limit="") for each in every)


def _steps(walk: Walk) -> Iterator[Step]:
    yield Step("one", "POST", "one", 1)
    yield Step("at the limit", "POST", "two", 2)
    yield Step("above it", "POST", "three", 2, limit=SESSIONS)
    if walk.resize is not None:
        yield Step("fills the cap", "PATCH", "one", 2, walk.resize.fills, "", walk.resize_at)
        yield Step("above the cap", "PATCH", "one", 2, walk.resize.exceeds, PER_SESSION, walk.resize_at)
        yield Step("smaller", "PATCH", "one", 2, walk.resize.shrinks, "", walk.resize_at)
    if walk.stop is not None:
        yield Step("stop", "PATCH", "two", 1, walk.stop)
        yield Step("another one", "POST", "four", 2)
        yield Step("start at the limit", "PATCH", "two", 2, walk.start, SESSIONS)
    yield Step("delete", "DELETE", "one", 1)
    if walk.stop is not None:
        yield Step("start", "PATCH", "two", 2, walk.start)
    if walk.end is not None:
        yield Step("end", "PATCH", "two", 1 if walk.stop is not None else 0, walk.end, "", walk.end_at)


def table(walks: Iterable[Walk]) -> list[str]:
    """Return the lines of docs/sessions.md: two for each walk, that of a person and that of an account."""
    heads = ("preset", "by", "who pays", *COLUMNS, "cap, remark")
    lines = [_line(heads), f"|{'---|' * len(heads)}"]
    for walk in walks:
        cells = {each.column: each.cell for each in steps(walk)}
        listed = [cells.get(column, "none") for column in COLUMNS]
        caps = walk.resize.cap if walk.resize is not None and walk.is_of_sessions else {}
        remark = "; ".join([*(f"{name} {amount}" for name, amount in caps.items()), *filter(None, [walk.lacks])])
        named = str(walk).replace(walk.preset, f"`{walk.preset}`")
        lines.append(_line((named, "a person", "this person", *listed, remark)))
        lines.append(_line((named, f"`{walk.account}`", f"the person in `{walk.mark}`", *listed, remark)))
    return lines


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def policy(people: Mapping[tuple[Walk, str], str]) -> str:
    """
    Return one policy with the presets of all walks, the caps for *people*, and the accounts as delegates.

    *people* are their names, by walk and by whom it is taken. Whoever asks as a member of `asked` is refused any
    session, so that the refusal tells what is charged.
    """
    delegates: dict[str, Json] = {}
    for walk, _ in people:
        known = delegates.setdefault(walk.account, {"serviceAccount": walk.account, "sessions": True})
        if walk.marks:
            known["owner"] = list(walk.marks)
    resized = ((name, walk.resize) for (walk, _), name in people.items() if walk.resize is not None)
    document = {
        "version": 1,
        "sessions": {"presets": list(dict.fromkeys(walk.preset for walk, _ in people)), "count": "running"},
        "defaults": {"user": {"hard": {SESSIONS: LIMIT}}},
        "users": {name: {PER_SESSION: dict(resize.cap)} for name, resize in resized},
        "groups": {"asked": {"perMember": {"hard": {SESSIONS: 0}}}},
        "attribution": {"delegates": list(delegates.values())},
    }
    return json.dumps(document) + "\n"
