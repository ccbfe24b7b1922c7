"""
AdmissionReviews, list pages and watch events made of the templates in `pods` and `claims`, each for another object and
user.

The load client fills the same marks in by the same rule (peer/load/template.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from benchmarks import pods
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS

USERS = 10_000
NAMES = 50_000
"""The most pods that exist: a name is used again with another uid, which replaces the pod before it."""

_STRIDE = 7919
"""A prime: neighbouring requests are of different users, as in a cluster."""

_FIRST = 1_000_000_000


def templates(size: str, *, stamped: bool) -> list[bytes]:
    """
    Return reviews of creates, as the API server sends them.

    *stamped* reviews are those of the validating call, after the mutating one.
    """
    return creates(PODS, pods.variants(pods.SIZES[size], stamped=stamped))


def creates(kind: AnyKind, objects: Iterable[dict[str, Any]]) -> list[bytes]:
    """Return the reviews of creates of these *objects* of a kind."""
    return encoded(_review(kind, each) for each in objects)


def stored_pods() -> list[bytes]:
    """Return running pods as lists and watches show them; about 6 kB."""
    return encoded(pods.variants(pods.Size(1, 4, 2), stamped=True, stored=True))


def encoded(objects: Iterable[dict[str, Any]]) -> list[bytes]:
    """Return each of *objects* as JSON."""
    return [msgspec.json.encode(each) for each in objects]


def render(several: list[bytes], request: int, *, names: int = NAMES, users: int = USERS) -> bytes:
    """Return review number *request*."""
    name = request * _STRIDE % names
    return fill(several[name % len(several)], request, name=name, user=name % users)


def fill(template: bytes, request: int, *, name: int, user: int, version: int = 0) -> bytes:
    """Put the numbers in place of the marks. Numbers other than uids and versions start with zeros."""
    for mark, number in (
        (pods.REQUEST, _FIRST + request),
        (pods.VERSION, _FIRST + (version or request)),
        (pods.NAME, name),
        (pods.USER, user),
        (pods.TEAM, user % 100),
    ):
        template = template.replace(mark.encode(), b"%010d" % number)
    return template


def page(stored: list[bytes], numbers: range, *, users: int, version: int, kind: AnyKind = PODS) -> bytes:
    """Return one page of a list of a kind, with objects *numbers*."""
    items = b",".join(fill(stored[each % len(stored)], each, name=each, user=each % users) for each in numbers)
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version}
    opened = msgspec.json.encode(head | {"metadata": {"resourceVersion": str(_FIRST + version)}})[:-1]
    return opened + b',"items":[' + items + b"]}\n"


def event(stored: list[bytes], number: int, *, users: int, version: int) -> bytes:
    """Return the watch event of a change of pod *number* that leaves its cost."""
    changed = fill(stored[number % len(stored)], number, name=number, user=number % users, version=version)
    return b'{"type":"MODIFIED","object":%b}' % changed


def _review(row: AnyKind, document: dict[str, Any]) -> dict[str, Any]:
    version = row.api_version.rpartition("/")[2]
    kind = {"group": row.group, "version": version, "kind": row.kind}
    resource = {"group": row.group, "version": version, "resource": row.plural}
    request = {
        "uid": f"7d3e2a10-44f1-4b0c-9c55-00{pods.REQUEST}",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": document["metadata"]["name"],
        "namespace": document["metadata"]["namespace"],
        "operation": "CREATE",
        "userInfo": {
            "username": pods.OWNER,
            "uid": f"b2a6c1de-6a0b-4a53-b0a4-00{pods.USER}",
            "groups": [*pods.GROUPS, "system:authenticated"],
            "extra": {"example.com/session": [f"session-{pods.USER}"]},
        },
        "object": document,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
