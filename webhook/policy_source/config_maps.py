"""
Policies in ConfigMaps of our namespace: the sink of the watch on them.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from webhook.documents.policy_config_map import Fault, PolicyConfigMap
from webhook.policy_source.current import NO_POLICY
from webhook.policy_source.reader import Submission
from webhook.ports import UnavailableError
from webhook.quota.objects import StoredVersion

log = structlog.get_logger(__name__)


class PolicyConfigMaps:
    """The sink of the watch on policies: gathers the texts and submits them whenever they change."""

    def __init__(
        self, submit: Callable[[Submission], None], *, on_removed: Callable[[str, str], None], may_be_absent: bool
    ) -> None:
        """
        Submit texts to *submit*; without any ConfigMap nobody is limited if that *may_be_absent*.

        *on_removed* gets name and uid of each ConfigMap that is no part of the policy any more: it was deleted, or lost
        its label.
        """
        self.may_be_absent = may_be_absent
        self._submit = submit
        self._on_removed = on_removed
        self._maps: dict[str, PolicyConfigMap] = {}
        self._listed: set[str] | None = None
        self._is_known = False
        self._version = 0
        self._changed_at = 0

    def started(self) -> None:
        """Begin a full list."""
        self._listed = set()

    def seen(self, item: PolicyConfigMap) -> None:
        """Record a ConfigMap as it is now."""
        self._maps[item.metadata.name] = item
        self._note_version(item)
        if self._listed is None:
            self._hand_over()
        else:
            self._listed.add(item.metadata.name)

    def gone(self, item: PolicyConfigMap) -> None:
        """Record that a ConfigMap was deleted, or does not carry the label any more."""
        self._remove(item.metadata.name)
        self._note_version(item)
        if self._listed is None:
            self._hand_over()

    def synced(self, resource_version: int) -> None:
        """End a full list."""
        self._version = resource_version
        for name in self._maps.keys() - (self._listed or set()):
            self._remove(name)
        self._listed = None
        self._is_known = True
        self._hand_over()

    def reached(self, resource_version: int) -> None:
        """Do nothing: nothing depends on how far this watch is."""

    def uid_of(self, name: str) -> str:
        """Return the uid of a ConfigMap, for Events about it; empty if it is unknown."""
        return self._maps[name].metadata.uid if name in self._maps else ""

    def others(self, name: str) -> tuple[PolicyConfigMap, ...]:
        """Return all ConfigMaps of the policy but *name*. Raises: UnavailableError before the first full list."""
        if not self._is_known:
            raise UnavailableError("not-synced", "the ConfigMaps of the policy are not all known yet")
        return tuple(each for each in self._maps.values() if each.metadata.name != name)

    def _remove(self, name: str) -> None:
        removed = self._maps.pop(name, None)
        if removed is not None:
            log.warning("a ConfigMap is no part of the policy any more", name=name)
            self._on_removed(name, removed.metadata.uid)

    def _note_version(self, item: PolicyConfigMap) -> None:
        # The reflector has checked that it is a number, and ends the watch if versions step back.
        self._changed_at = max(self._changed_at, int(item.metadata.resource_version))
        self._version = max(self._version, self._changed_at)

    def _hand_over(self) -> None:
        texts = tuple(text for each in self._maps.values() for text in each.texts())
        faults = tuple(fault for _, each in sorted(self._maps.items()) for fault in each.faults)
        if not self._maps and not self.may_be_absent:
            # Deleting the last policy must not lift every limit: the last good one stays, and an error says so.
            faults = (Fault("", NO_POLICY),)
        seen = {
            name: StoredVersion(each.metadata.uid, int(each.metadata.resource_version))
            for name, each in self._maps.items()
        }
        self._submit(Submission(texts, faults, self._version, self._changed_at, seen))
