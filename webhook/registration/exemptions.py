"""
The namespaces that the API server does not ask us about, read from the live webhook configurations.

Administrators choose them when they install the configurations; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from webhook.kube.api import KubernetesApi
from webhook.ports import READY, Condition
from webhook.registration import live
from webhook.registration.live import LiveWebhook, Selector
from webhook.registration.manifest import POLICY_WEBHOOK, WebhookManifest

log = structlog.get_logger(__name__)

NAME_LABEL: Final = "kubernetes.io/metadata.name"
"""The API server writes this label itself and rejects changes to it; users may set any other."""


class Exemptions:
    """
    The exempt namespaces as they were last read; a namespace is ``in`` it, too.

    A namespace counts as exempt only if ``kubernetes.io/metadata.name NotIn [...]`` names it in every one of our
    webhooks but that for the policy. What else a selector leaves out is remarked upon, and its pods count: nothing is
    left uncounted on the word of an expression that is not understood. Before any configuration is installed,
    *default* holds. *on_change* is called after the set has changed. Belongs to one event loop.
    """

    def __init__(self, default: frozenset[str], *, on_change: Callable[[], None]) -> None:
        self._current = default
        self._on_change = on_change
        self._remarks: tuple[str, ...] = ()
        self._is_known = False

    def __contains__(self, namespace: object) -> bool:
        return namespace in self._current

    @property
    def is_known(self) -> bool:
        """Whether the live configurations were ever read, or found not to be there."""
        return self._is_known

    def current(self) -> frozenset[str]:
        """Return the exempt namespaces."""
        return self._current

    def condition(self) -> Condition:
        """Return whether the selectors say one thing, in words that are understood."""
        return Condition(ok=False, reason="exemptions", message="; ".join(self._remarks)) if self._remarks else READY

    def update(self, webhooks: Mapping[str, LiveWebhook | None]) -> None:
        """Record our webhooks as they were read. Where one is missing, as in an emergency, the last set holds."""
        self._is_known = True
        charging = [each for name, each in webhooks.items() if name != POLICY_WEBHOOK]
        present = [each for each in charging if each is not None]
        if not present or len(present) < len(charging):
            return
        exempt, remarks = read_exempt(present)
        if remarks != self._remarks:
            self._remarks = remarks
            for remark in remarks:
                log.warning("namespaces that may be exempt are counted", reason=remark)
        if exempt != self._current:
            log.info("the exempt namespaces have changed", before=sorted(self._current), now=sorted(exempt))
            self._current = exempt
            self._on_change()


def read_exempt(webhooks: Sequence[LiveWebhook]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the namespaces that all *webhooks* (at least one) leave out, and remarks on those that some may."""
    named = {each.name: _named(each.namespace_selector) for each in webhooks}
    exempt = frozenset.intersection(*named.values())
    remarks = [
        f"{each.name}: its namespaceSelector has {_described(each.namespace_selector)}; only {NAME_LABEL} NotIn [...] "
        "exempts, so that pods which it leaves out otherwise count"
        for each in webhooks
        if _described(each.namespace_selector)
    ]
    for namespace in sorted(frozenset.union(*named.values()) - exempt):
        lacking = ", ".join(name for name, names in named.items() if namespace not in names)
        remarks.append(f"namespace {namespace} is not exempt from {lacking}, so that its pods count: name it in all")
    return exempt, tuple(remarks)


async def read_live_exemptions(api: KubernetesApi, manifests: Sequence[WebhookManifest]) -> frozenset[str]:
    """Return the exempt namespaces as they are now, for one look. Raises: ApiError, RegistrationError."""
    exemptions = Exemptions(default_exemptions(manifests), on_change=_ignore)
    found = {each.kind: await live.read(api, each) for each in manifests}
    exemptions.update(live.named(manifests, found))
    return exemptions.current()


def default_exemptions(manifests: Sequence[WebhookManifest]) -> frozenset[str]:
    """Return the namespaces that *manifests* exempt."""
    found = {each.kind: live.parse(msgspec.json.encode(each.body), source=str(each)) for each in manifests}
    named = live.named(manifests, found)
    return read_exempt([each for name, each in named.items() if each is not None and name != POLICY_WEBHOOK])[0]


def _named(selector: Selector) -> frozenset[str]:
    """Return what expressions on the name leave out: a namespace has to meet them all, so that each exempts its own."""
    expressions = selector.match_expressions or ()
    return frozenset(
        name for each in expressions if (each.key, each.operator) == (NAME_LABEL, "NotIn") for name in each.values or ()
    )


def _described(selector: Selector) -> str:
    """Return what a selector has beside exemptions by name, empty if nothing."""
    others = [
        f"{each.key} {each.operator}"
        for each in selector.match_expressions or ()
        if (each.key, each.operator) != (NAME_LABEL, "NotIn")
    ]
    return ", ".join([*others, *(f"{key}={value}" for key, value in (selector.match_labels or {}).items())])


def _ignore() -> None:
    """Do nothing about a change."""
