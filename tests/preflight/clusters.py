"""Clusters of made-up objects, as the API would list them, taken into a census."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.preflight.census import Census
from webhook.preflight.made_anew import made_anew
from webhook.preflight.report import Gap, Report, Unreadable, report_on
from webhook.preflight.traces import Marked, Trace, shape_of
from webhook.quota.policy import Policy
from webhook.quota.resources import show
from webhook.wiring.file_kinds import kinds_under

NOW = datetime(2026, 11, 1, tzinfo=UTC)
EXEMPT = frozenset({"kube-system", "kube-node-lease", "userquota-system"})


def policy(text: str) -> Policy:
    """Return the policy of *text*, without its first line."""
    reading = read_policy([PolicyText("policy.yaml", f"version: 1\n{text}")])
    assert reading.policy is not None, reading.mistakes
    return reading.policy


class Cluster:
    """Takes objects one by one; everything else is as in a cluster without userquota."""

    def __init__(
        self,
        text: str = "",
        *,
        labels: Mapping[str, Mapping[str, str]] | None = None,
        annotations: Mapping[str, Mapping[str, str]] | None = None,
        now: datetime = NOW,
    ) -> None:
        named = {"red": {"team": "a"}, "blue": {"team": "b"}} if labels is None else labels
        self.kinds = kinds_under(policy(text))
        self.census = Census(policy(text), labels=named, annotations=annotations, exempt=EXEMPT, now=now)
        self._uids = itertools.count(1)

    def add(
        self,
        resource: str,
        name: str,
        *,
        namespace: str = "red",
        owner: str = "",
        controller: Mapping[str, str] | None = None,
        managers: Sequence[str] = (),
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Mapping[str, str]:
        """Take an object; return the reference to it that its children have. *owner* is its stamp."""
        kind = self.kinds.of_resource(resource)
        assert kind is not None
        number = next(self._uids)
        stamp = {"userquota.dev/owner": owner, "userquota.dev/groups": '["ml"]'} if owner else {}
        metadata = {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "annotations": {**stamp, **(annotations or {})},
            "labels": labels,
            "ownerReferences": [{**controller, "controller": True}] if controller else None,
            "managedFields": [
                dict(zip(("manager", "subresource"), each.split("/"), strict=False)) for each in managers
            ],
        }
        body = json.dumps({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}).encode()
        trace, marked = msgspec.json.decode(body, type=Trace), msgspec.json.decode(body, type=Marked)
        item = msgspec.json.decode(body, type=shape_of(kind))
        self.census.take(kind, item, trace.metadata, written=lambda: marked.metadata)
        return {"apiVersion": kind.api_version, "kind": kind.kind, "name": name, "uid": f"uid-{number}"}

    def pod(self, name: str, *, cpu: str = "1", memory: str = "1Gi", **more: Any) -> Mapping[str, str]:
        requests = {"cpu": cpu, "memory": memory}
        return self.add("pods", name, spec={"containers": [{"name": "c", "resources": {"requests": requests}}]}, **more)

    def claim(self, name: str, storage: str, **more: Any) -> Mapping[str, str]:
        resources = {"requests": {"storage": storage}}
        return self.add("persistentvolumeclaims", name, spec={"resources": resources}, **more)

    def report(self, *, gaps: Sequence[Gap] = (), unreadable: Sequence[Unreadable] = ()) -> Report:
        anew = asyncio.run(made_anew(self.census, self.kinds))
        return report_on(self.census, anew=anew, server="v1.37.2", exempt=EXEMPT, gaps=gaps, unreadable=unreadable)


def over(report: Report) -> list[str]:
    """Return a line for each exceeded limit on a sum."""
    return [
        f"{each.limit.entry} {each.limit.subject} {each.limit.resource} "
        f"{show(each.limit.resource, each.used)}>{show(each.limit.resource, each.limit.hard)} "
        f"+{show(each.limit.resource, each.over)} {each.limit.mode.value}"
        for each in report.standings.over
    ]


def used(report: Report, subject: str) -> dict[str, str]:
    """Return what *subject* uses, as text."""
    return {
        name: show(name, amount)
        for each in report.standings.usage
        if each.subject == subject
        for name, amount in each.used
    }
