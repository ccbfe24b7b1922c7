"""
What is used according to objects that were saved from a cluster with kubectl, under a policy that is not in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from webhook.documents.object_text import RawObject
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.misfits import misfit_text
from webhook.preflight.census import Census
from webhook.preflight.traces import Trace, shape_of
from webhook.quota.errors import WebhookError
from webhook.quota.policy import Policy
from webhook.quota.usage import Holdings
from webhook.registration import default_exemptions, manifest_files
from webhook.wiring.file_kinds import kind_in_file, kinds_under


class SavedUsageError(WebhookError):
    """An object that was saved cannot be counted. The message names its place."""


class _Labels(msgspec.Struct, frozen=True):
    labels: dict[str, str] | None = None


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Labels = _Labels()


@dataclass(frozen=True, slots=True)
class SavedUsage:
    """
    What exists, and the labels of the namespaces among the objects. `resources` are those of which objects were saved.

    `unlabelled` are the namespaces of objects that were not saved themselves.
    """

    holdings: Holdings
    labels: Mapping[str, Mapping[str, str]]
    resources: frozenset[str]
    unlabelled: tuple[str, ...]

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace; none for one that was not saved."""
        return self.labels.get(namespace, {})


def usage_of(objects: Iterable[RawObject], policy: Policy, now: datetime) -> SavedUsage:
    """
    Return what *objects* use, counted as a replica counts them under *policy* at *now*.

    Their stamps say who pays. Namespaces are read for their labels, objects that cost nothing are left out, and so are
    the namespaces that the manifests exempt. Raises: SavedUsageError.
    """
    objects = tuple(objects)
    labels = {each.name: _labels_of(each) for each in objects if (each.api_version, each.kind) == ("v1", "Namespace")}
    exempt = default_exemptions(manifest_files.webhook_manifests())
    census, kinds = Census(policy, labels=labels, exempt=exempt, now=now), kinds_under(policy)
    resources = set()
    for each in objects:
        kind = kind_in_file(each, kinds, policy)
        if kind is None or not kind.is_charged:
            continue
        resources.add(kind.resource)
        try:
            meta = msgspec.json.decode(each.body, type=Trace).metadata
            census.take(kind, msgspec.json.decode(each.body, type=shape_of(kind)), meta)
        except (UncountableError, msgspec.MsgspecError) as error:
            raise SavedUsageError(
                f"{each.place}: {each.kind} {each.namespace}/{each.name}: {misfit_text(error)}"
            ) from error
    used = {each.key.namespace for each in census.objects()}
    return SavedUsage(census.index.holdings(), labels, frozenset(resources), tuple(sorted(used - labels.keys())))


def _labels_of(written: RawObject) -> Mapping[str, str]:
    try:
        return msgspec.json.decode(written.body, type=_Namespace).metadata.labels or {}
    except msgspec.MsgspecError as error:
        raise SavedUsageError(f"{written.title}: {misfit_text(error)}") from error
