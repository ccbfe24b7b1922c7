"""
AdmissionReviews, list pages and watch events made of the templates in `pods`, each for another pod and user.

The load client fills the same marks in by the same rule (peer/load/template.go).
"""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks import pods

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
    return [msgspec.json.encode(_review(pod)) for pod in pods.variants(pods.SIZES[size], stamped=stamped)]


def stored_pods() -> list[bytes]:
    """Return running pods as lists and watches show them; about 6 kB."""
    return [msgspec.json.encode(pod) for pod in pods.variants(pods.Size(1, 4, 2), stamped=True, stored=True)]


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


def page(stored: list[bytes], numbers: range, *, users: int, version: int) -> bytes:
    """Return one page of a list, with pods *numbers*."""
    items = b",".join(fill(stored[each % len(stored)], each, name=each, user=each % users) for each in numbers)
    head = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"%d"},"items":[' % (_FIRST + version)
    return head + items + b"]}\n"


def event(stored: list[bytes], number: int, *, users: int, version: int) -> bytes:
    """Return the watch event of a change of pod *number* that leaves its cost."""
    changed = fill(stored[number % len(stored)], number, name=number, user=number % users, version=version)
    return b'{"type":"MODIFIED","object":%b}' % changed


def _review(pod: dict[str, Any]) -> dict[str, Any]:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request = {
        "uid": f"7d3e2a10-44f1-4b0c-9c55-00{pods.REQUEST}",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "operation": "CREATE",
        "userInfo": {
            "username": pods.OWNER,
            "uid": f"b2a6c1de-6a0b-4a53-b0a4-00{pods.USER}",
            "groups": [*pods.GROUPS, "system:authenticated"],
            "extra": {"example.com/session": [f"session-{pods.USER}"]},
        },
        "object": pod,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
