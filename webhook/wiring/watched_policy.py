"""
The policy, the labels of namespaces, DeviceClasses and Groups, watched, and the usage index that is bound by them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import structlog

from webhook.doctor.of_namespace import other_labels
from webhook.documents.policy_config_map import Fault, PolicyConfigMap
from webhook.kube.api import KubernetesApi
from webhook.kube.device_classes import DeviceClass, ExtendedNames
from webhook.kube.events import ConfigMapEvent, EventWriter
from webhook.kube.namespaces import Namespace, NamespaceLabels
from webhook.kube.policy_copy import PolicyCopyConfigMap
from webhook.kube.reflector import Reflector
from webhook.policy_source import (
    POLICY_SELECTOR,
    CurrentPolicy,
    LastGoodPolicy,
    PolicyConfigMaps,
    PolicyReader,
    Submission,
)
from webhook.ports import Clock, Condition, LedgerStore
from webhook.quota.membership import GroupsByMember
from webhook.quota.policy import Entry, Policy, accounts_under
from webhook.quota.presets import Labels
from webhook.quota.usage import UsageIndex
from webhook.serving.metrics import Metrics
from webhook.settings import Settings
from webhook.wiring.application import expect, gauges
from webhook.wiring.policy_notices import PolicyNotices
from webhook.wiring.watched_groups import WatchedGroups
from webhook.wiring.watched_nodes import WatchedNodes

log = structlog.get_logger(__name__)


class WatchedPolicy:
    """Watches the policy and all that decides with it whom an object is charged to; `index` is bound by that."""

    def __init__(  # noqa: PLR0913 - what it watches by, and whom it tells
        self,
        api: KubernetesApi,
        settings: Settings,
        events: EventWriter,
        clock: Clock,
        *,
        on_policy: Callable[[Policy], None],
        store_version: Callable[[], Awaitable[int]],
    ) -> None:
        self._events = events
        self._own_namespace = settings.namespace
        self._on_policy = on_policy
        self._ledger: LedgerStore | None = None
        self.labels = NamespaceLabels(api, on_change=self._rebind_namespace)
        self.index = UsageIndex(accounts_under(Policy(), self.labels.known))
        self.policy = CurrentPolicy(on_change=self._rebind, on_mistakes=self._publish_mistakes)
        self.metrics = Metrics(gauges(self.index, self.policy))
        last_good = LastGoodPolicy(PolicyCopyConfigMap(api, namespace=settings.namespace))
        self._reader = PolicyReader(self.policy, last_good)
        self.maps = PolicyConfigMaps(
            self._submit, on_removed=self._publish_removed, may_be_absent=settings.allow_no_policy
        )
        self._notices = PolicyNotices(self.policy, uid_of=self.maps.uid_of, tell=events.tell_once, clock=clock)
        self._policies = Reflector(
            api,
            f"/api/v1/namespaces/{settings.namespace}/configmaps",
            PolicyConfigMap,
            self.maps,
            query={"labelSelector": POLICY_SELECTOR},
            resource="configmaps",
        )
        self._namespaces = Reflector(api, "/api/v1/namespaces", Namespace, self.labels, resource="namespaces")
        self._device_classes = Reflector(
            api,
            "/apis/resource.k8s.io/v1/deviceclasses",
            DeviceClass,
            ExtendedNames(on_change=self.policy.name_devices),
            resource="deviceclasses",
            store_version=store_version,
        )
        self.groups = WatchedGroups(api, on_change=self._rebind_owners, store_version=store_version)
        self.nodes = WatchedNodes(api)
        self.tasks = (
            self._policies.run,
            self._reader.run,
            last_good.run,
            self._notices.run,
            self._namespaces.run,
            self._device_classes.run,
            self.groups.run,
            self.nodes.run,
        )

    def _submit(self, submission: Submission) -> None:
        if self._ledger is not None and submission.seen is not None:
            self._ledger.policy_seen(submission.seen, version=submission.version)
        self._reader.submit(submission)

    def connect(self, ledger: LedgerStore) -> None:
        """Tell *ledger* which policy is in force."""

        def on_read(submission: Submission) -> None:
            ledger.policy_in_force(submission.seen, version=submission.version, changed_at=submission.changed_at)

        self._reader.on_read = on_read
        self._ledger = ledger

    def namespaces_condition(self) -> Condition:
        """Return whether all namespaces are known."""
        return expect(self._namespaces.synced, "not-synced", "the namespaces are not all known yet")

    def device_classes_condition(self) -> Condition:
        """Return whether the DeviceClasses are known, or not served: a class may give its devices a second name."""
        known = self._device_classes.synced or not self._device_classes.served
        return expect(known, "not-synced", "the DeviceClasses are not all known yet")

    def are_accounts_known(self) -> bool:
        """
        Whether the policy, all namespaces and DeviceClasses are known, and so whom objects are charged to and for what.
        """
        known = self._namespaces.synced and self.device_classes_condition().ok
        return known and self.policy.condition().ok

    def _rebind_namespace(self, name: str) -> None:
        if name == self._own_namespace:
            self._tell_labels(self.labels.known(name))
        if self.index.rebind_namespace(name):
            self._counted_anew()

    def _tell_labels(self, labels: Mapping[str, str]) -> None:
        """Tell in the log what *labels* of our namespace are not those of the manifests, unless it has just gone."""
        if labels and (reason := other_labels(self._own_namespace, labels)):
            log.warning("other labels than the manifests", namespace=self._own_namespace, reason=reason)

    def _counted_anew(self) -> None:
        if self._ledger is not None:
            self._ledger.counted_anew()

    def _rebind_owners(self, groups: GroupsByMember, owners: frozenset[str]) -> None:
        self.policy.report_groups(groups)
        policy = self.policy.state.policy
        if policy is None or policy.group_objects is None:
            return
        if self.index.rebind_owners(accounts_under(policy, self.labels.known), owners):
            self._counted_anew()

    def counting_time(self, now: datetime) -> datetime | None:
        """Return the time at which usage is counted under the policy in force."""
        return (self.policy.state.policy or Policy()).counting_time(now)

    def sessions_of(self, labels: Mapping[str, str]) -> tuple[Labels, ...]:
        """Return by which *labels* the presets in force know a pod as one of a session."""
        return (self.policy.state.policy or Policy()).sessions_of(labels)

    def _rebind(self, policy: Policy) -> None:
        self.index.rebind(accounts_under(policy, self.labels.known), policy.devices)
        self._counted_anew()
        self.groups.follow(policy)
        self.nodes.follow(policy)
        self._notices.wake()
        self._on_policy(policy)

    def _publish_removed(self, name: str, uid: str) -> None:
        message = "it is no part of the policy any more: it was deleted, or lost the label userquota.dev/policy=true"
        self._events.publish(ConfigMapEvent(name, uid, "PolicyRemoved", message))

    def publish_without_effect(self, entry: Entry, why: str) -> None:
        """Publish an Event on the ConfigMap with *entry*, of which a limit has no effect."""
        name = entry.place.partition("/")[0]
        event = ConfigMapEvent(name, self.maps.uid_of(name), "LimitWithoutEffect", f"{entry.place}: {why}")
        self._events.publish(event)

    def _publish_mistakes(self, mistakes: tuple[Fault, ...]) -> None:
        for name, message in mistakes:
            if name:
                self._events.publish(ConfigMapEvent(name, self.maps.uid_of(name), "PolicyInvalid", message))
