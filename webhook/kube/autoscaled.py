"""
The workloads that autoscalers scale, watched: what a pod of each costs, and who pays for it.

What an autoscaler has set aside depends on its workload. When that changes, no event of the autoscaler comes: then
each of them is looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from webhook.attribution.lineage import known_owner
from webhook.kinds.autoscalers import Scaled, scaled_if_countable, without_labels
from webhook.kinds.workloads import Workload
from webhook.kube.reflector import Undecodable
from webhook.quota.objects import ObjectKey, ObjectMeta


class AutoscaledWorkloads:
    """The workloads that are known, and the autoscalers that depend on each. Belongs to one event loop."""

    def __init__(self) -> None:
        """Know no workload."""
        self._workloads: dict[ObjectKey, Scaled] = {}
        self._dependents: dict[ObjectKey, dict[ObjectKey, Any]] = defaultdict(dict)
        self._depends_on: dict[ObjectKey, ObjectKey] = {}
        self._look_again: Callable[[ObjectKey, Any], None] = _ignore

    def connect(self, look_again: Callable[[ObjectKey, Any], None]) -> None:
        """Call *look_again* with each autoscaler, by its key, whose workload has changed."""
        self._look_again = look_again

    @property
    def known(self) -> Mapping[ObjectKey, Scaled]:
        """The workloads that are known, by key: a live view."""
        return self._workloads

    def put(self, workload: ObjectKey, scaled_pods: Scaled | None) -> None:
        """Record what *workload* is now, None if it is gone."""
        if self._workloads.get(workload) == scaled_pods:
            return
        if scaled_pods is None:
            del self._workloads[workload]
        else:
            self._workloads[workload] = scaled_pods
        for key, item in tuple(self._dependents.get(workload, {}).items()):
            self._look_again(key, item)

    def follow(self, key: ObjectKey, item: Any, workload: ObjectKey) -> None:
        """Look at the autoscaler *key*, which is *item* now, again whenever *workload* changes."""
        if self._depends_on.get(key) != workload:
            self.forget(key)
        self._depends_on[key] = workload
        self._dependents[workload][key] = without_labels(item)

    def forget(self, key: ObjectKey) -> None:
        """Record that the autoscaler *key* is gone, or scales nothing that is known."""
        workload = self._depends_on.pop(key, None)
        if workload is not None:
            self._dependents[workload].pop(key, None)
            if not self._dependents[workload]:
                del self._dependents[workload]

    def prune(self, is_there: Callable[[ObjectKey], bool]) -> None:
        """Forget the autoscalers that are not there any more."""
        for key in [key for key in self._depends_on if not is_there(key)]:
            self.forget(key)


def _ignore(key: ObjectKey, item: Any) -> None:
    """Do nothing: nobody has connected."""


class WorkloadSink:
    """
    Keeps `AutoscaledWorkloads` in step with the workloads of one kind.

    One with a controller of its own is left out: whoever scales that scales it.
    """

    def __init__(self, resource: str, workloads: AutoscaledWorkloads) -> None:
        """Record objects of *resource*, e.g. `deployments.apps`."""
        self._resource = resource
        self._workloads = workloads
        self._listed: set[ObjectKey] | None = None

    def started(self) -> None:
        """Begin a full list."""
        self._listed = set()

    def seen(self, item: Workload) -> None:
        """Record a workload as it is now."""
        key = self._key(item.metadata)
        if self._listed is not None:
            self._listed.add(key)
        is_left_out = item.metadata.controller is not None
        self._workloads.put(key, None if is_left_out else scaled_if_countable(item, known_owner(item.metadata)))

    def gone(self, item: Workload) -> None:
        """Record that a workload is gone."""
        key = self._key(item.metadata)
        if self._listed is not None:
            self._listed.discard(key)
        self._workloads.put(key, None)

    def undecodable(self, item: Undecodable) -> None:
        """Record that what a workload is cannot be told."""
        self._workloads.put(ObjectKey(self._resource, item.namespace, item.name), None)

    def synced(self, resource_version: int) -> None:  # noqa: ARG002
        """End a full list: what it did not show is gone."""
        listed, self._listed = self._listed or set(), None
        for key in [key for key in self._workloads.known if key.resource == self._resource and key not in listed]:
            self._workloads.put(key, None)

    def reached(self, resource_version: int) -> None:
        """Do nothing: no decision waits for a version of a workload."""

    def _key(self, meta: ObjectMeta) -> ObjectKey:
        return ObjectKey(self._resource, meta.namespace, meta.name)
