"""
The webhook for edits of what another person owns: called only while the policy has the last editor pay.

Under any other policy such an edit changes no payer, and goes on while no replica answers. Pure: what has to be written
and as whom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from webhook.kinds.workloads import WORKLOADS
from webhook.registration.forms import Write, partial_body
from webhook.registration.live import LiveWebhook
from webhook.registration.manifest import WebhookManifest

EDITS_MANAGER: Final = "userquota-edits"
"""A field manager of its own: applying the manifests again, with any tool, then does not remove this webhook."""

NAME: Final = "edits.mutate.userquota.dev"

_CONDITION: Final = {
    "name": "a-person-edits-what-pods-are-made-by",
    "expression": (
        "(object.?spec != oldObject.?spec"
        " || object.?metadata.?annotations[?'deprecated.deployment.rollback.to']"
        " != oldObject.?metadata.?annotations[?'deprecated.deployment.rollback.to'])"
        " && !request.userInfo.username.startsWith('system:')"
        " && !(has(request.userInfo.groups) && 'system:masters' in request.userInfo.groups)"
        " && (oldObject.?metadata.?annotations[?'userquota.dev/owner'].orValue('') != request.userInfo.username"
        " || object.?metadata.?ownerReferences.hasValue() || oldObject.?metadata.?ownerReferences.hasValue())"
    ),
}
"""What a person edits that is not their own, or is part of what may be another person's."""


class EditRules:
    """
    What the webhook for edits has to be: a copy of the first one of the mutating configuration, with rules of its own.

    What is not wanted any more is removed after *seconds*, not at once: replicas learn of a policy one after the other,
    and would undo each other's writes. While *is_wanted* returns None, nobody knows the policy, and all stays as it is.
    """

    def __init__(self, is_wanted: Callable[[], bool | None], monotonic: Callable[[], float], *, seconds: float) -> None:
        self._is_wanted = is_wanted
        self._monotonic = monotonic
        self._seconds = seconds
        self._unwanted_since: float | None = None

    def write(self, manifest: WebhookManifest, found: Mapping[str, LiveWebhook]) -> Write | None:
        """Return what has to be written beside the webhooks that were *found*, None if all is right."""
        wanted, present = self._is_wanted(), found.get(NAME)
        if not manifest.kind.startswith("Mutating") or wanted is None:
            return None
        if wanted:
            self._unwanted_since = None
            body = _body(found[next(iter(manifest.paths))])
            return None if present is not None and present.body == body else _write(manifest, [body])
        if present is None:
            return None
        if self._unwanted_since is None:
            self._unwanted_since = self._monotonic()
        return _write(manifest, []) if self._monotonic() - self._unwanted_since >= self._seconds else None

    def present(self, found: Mapping[str, Mapping[str, LiveWebhook] | None]) -> Iterator[LiveWebhook]:
        """Return our webhook for edits, if it is in the cluster."""
        yield from (webhooks[NAME] for webhooks in found.values() if webhooks and NAME in webhooks)


def _body(first: LiveWebhook) -> Mapping[str, Any]:
    rules = [
        {
            "operations": ["UPDATE"],
            "apiGroups": [each.group],
            "apiVersions": ["*"],
            "resources": [each.plural],
            "scope": "Namespaced",
        }
        for each in WORKLOADS
    ]
    return {**first.body, "name": NAME, "rules": rules, "matchConditions": [_CONDITION]}


def _write(manifest: WebhookManifest, webhooks: list[Mapping[str, Any]]) -> Write:
    return Write((NAME,), partial_body(manifest, webhooks), EDITS_MANAGER, force=True)
