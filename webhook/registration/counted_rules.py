"""
The webhooks for kinds that only a policy names: a copy of each configuration's first webhook with rules of its own.

The rest is copied from what the API server has, so that address, certificates, exempt namespaces and failure policy
are those that the administrator has chosen. Pure: what has to be written and as whom.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from webhook.registration.forms import Write, partial_body
from webhook.registration.live import LiveWebhook
from webhook.registration.manifest import WebhookManifest

COUNTED_MANAGER: Final = "userquota-counts"
"""A field manager of its own: applying the manifests again, with any tool, then neither removes these webhooks."""

_CONDITION: Final = "update-touches-who-pays"
"""The match condition of the mutating webhook that holds for objects whose cost no update changes."""

_SAYS_SOMETHING_ELSE: Final = " || ".join(
    f"object.?{field} != oldObject.?{field}"
    for field in ("spec", "metadata.?labels", "metadata.?annotations", "metadata.?ownerReferences")
)
"""What of a session decides whether it runs, how large it is, and whose; not its status, which changes all the time."""

_A_PERSON_REPORTS: Final = (
    "object.?status != oldObject.?status && (!request.userInfo.username.startsWith('system:')"
    " || request.userInfo.username.startsWith('system:serviceaccount:' + request.namespace + ':'))"
)
"""
What a platform reports, as its account, needs no call. A person, or an account of the session's namespace, might say
that a session which runs has ended.
"""

_IS_LISTED: Final = "request.resource.resource + '.' + request.resource.group in ["


class Heard(StrEnum):
    """What we are called for: creation and what touches who pays, changes of what a session costs, or of its scale."""

    OBJECT = "object"
    CHANGES = "changes"
    SCALE = "scale"


class Part(NamedTuple):
    """One thing about one resource that we are called for."""

    resource: str
    heard: Heard


@dataclass(frozen=True, slots=True)
class CountedResources:
    """
    Which resources have to be intercepted beyond those of the manifests, each a plural with its group.

    `required`: all their objects are known, so that one more can be judged. `kept`: a policy limits them, but they are
    not known to this replica yet, while others may have written their rules. `changing`: those whose objects change
    what they cost by an update, such as sessions; `scaled` are those of them whose scale subresource does so, too.
    `edits`: so have what people change in workloads that others own, see `EditRules`.
    """

    required: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    changing: frozenset[str] = frozenset()
    scaled: frozenset[str] = frozenset()
    edits: bool = False


class CountedRules:
    """
    What the webhooks of counted kinds have to be.

    What is not wanted any more is removed after *seconds*, not at once: replicas learn of a policy one after the other,
    and would undo each other's writes. Until then it is only called for nothing. While *counted* returns None, as in
    each replica that starts, it does not know what is limited, and all stays as it is.
    """

    def __init__(
        self,
        manifests: Sequence[WebhookManifest],
        counted: Callable[[], CountedResources | None],
        monotonic: Callable[[], float],
        *,
        seconds: float,
    ) -> None:
        self._counted = counted
        self._monotonic = monotonic
        self._seconds = seconds
        self._surplus_since: dict[Part, float] = {}
        self._conditions = [
            condition
            for manifest in manifests
            for item in manifest.body["webhooks"]
            for condition in item.get("matchConditions", ())
            if condition["name"] == _CONDITION
        ]

    def wanted(self, found: Mapping[str, Mapping[str, LiveWebhook]]) -> frozenset[Part]:
        """Return what both configurations have to intercept; *found* is by kind and name."""
        counted, now = self._counted(), self._monotonic()
        present = frozenset(part for webhook in self.present(found) for part in _intercepted(webhook))
        if counted is None:
            return present
        required = frozenset(_parts(counted, counted.required))
        kept = frozenset(_parts(counted, counted.kept))
        surplus = present - required - kept
        since = {each: self._surplus_since.get(each, now) for each in surplus}
        self._surplus_since = {each: begun for each, begun in since.items() if now - begun < self._seconds}
        return required | (present & kept) | self._surplus_since.keys()

    def write(
        self, manifest: WebhookManifest, found: Mapping[str, LiveWebhook], wanted: Collection[Part]
    ) -> Write | None:
        """Return what has to be written so that what is *wanted* is intercepted, None if it is so already."""
        first, name = next(iter(manifest.paths)), _name(manifest.kind)
        body = self._body(name, found[first], wanted) if wanted else None
        present = found.get(name)
        if body == (present.body if present else None):
            return None
        return Write((name,), partial_body(manifest, [body] if body else []), COUNTED_MANAGER, force=True)

    def present(self, found: Mapping[str, Mapping[str, LiveWebhook] | None]) -> Iterator[LiveWebhook]:
        """Return those of our webhooks for counted kinds that are in the cluster."""
        for kind, webhooks in found.items():
            if webhooks and _name(kind) in webhooks:
                yield webhooks[_name(kind)]

    def _body(self, name: str, first: LiveWebhook, wanted: Collection[Part]) -> Mapping[str, Any]:
        # The status of a built-in kind takes changes to the stamp. It has no cost, so nothing else of it matters.
        subresources = ("", "/status") if name == _VALIDATING else ("",)
        scaled = _of(wanted, Heard.SCALE) if name == _VALIDATING else ()
        conditions = self._conditions[:1]
        if sessions := _of(wanted, Heard.CHANGES):
            conditions = [{**each, "expression": _or_changed(each["expression"], sessions)} for each in conditions]
        return {
            **first.body,
            "name": name,
            "rules": [
                _rule(each, (*subresources, "/scale") if each in scaled else subresources)
                for each in _of(wanted, Heard.OBJECT)
            ],
            "matchConditions": conditions,
        }


_MUTATING: Final = "counts.mutate.userquota.dev"
_VALIDATING: Final = "counts.validate.userquota.dev"
NAMES: Final = frozenset({_MUTATING, _VALIDATING})
"""The webhooks for counted kinds, one in each configuration."""


def _name(kind: str) -> str:
    return _MUTATING if kind.startswith("Mutating") else _VALIDATING


def _parts(counted: CountedResources, resources: Iterable[str]) -> Iterator[Part]:
    for each in resources:
        yield Part(each, Heard.OBJECT)
        if each in counted.changing:
            yield Part(each, Heard.CHANGES)
        if each in counted.scaled:
            yield Part(each, Heard.SCALE)


def _of(parts: Iterable[Part], heard: Heard) -> list[str]:
    return sorted(each.resource for each in parts if each.heard is heard)


def _or_changed(expression: str, sessions: Sequence[str]) -> str:
    """Return a condition that also holds for updates of *sessions*, not for what a platform reports of their status."""
    listed = ", ".join(f"'{each}'" for each in sessions)
    is_session = f"{_IS_LISTED}{listed}]"
    return f"({expression}) || ({is_session} && ({_SAYS_SOMETHING_ELSE} || {_A_PERSON_REPORTS}))"


def _rule(resource: str, subresources: Iterable[str]) -> Mapping[str, object]:
    plural, _, group = resource.partition(".")
    return {
        "operations": ["CREATE", "UPDATE"],
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": [f"{plural}{each}" for each in subresources],
        "scope": "Namespaced",
    }


def _intercepted(webhook: LiveWebhook) -> Iterator[Part]:
    """Yield what a stored webhook of ours is called for, as `_body` writes it."""
    conditions = [each.get("expression", "") for each in webhook.body.get("matchConditions") or ()]
    listed = [each.partition(_IS_LISTED)[2].partition("]")[0] for each in conditions]
    for rule in webhook.body.get("rules") or ():
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                plural, _, subresource = resource.partition("/")
                name = f"{plural}.{group}" if group else plural
                if not subresource:
                    yield Part(name, Heard.OBJECT)
                    if any(f"'{name}'" in each for each in listed):
                        yield Part(name, Heard.CHANGES)
                elif subresource == "scale":
                    yield Part(name, Heard.SCALE)
