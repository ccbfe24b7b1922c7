"""
What other webhook configurations have to do with ours. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from webhook.doctor.facts import OtherWebhooks
from webhook.registration.manifest import WebhookManifest


def neighbours(
    configurations: Iterable[Mapping[str, Any]], manifests: Sequence[WebhookManifest], *, namespace: str
) -> OtherWebhooks:
    """
    Return the webhooks of *configurations*, all that the API server has, that concern us, installed in *namespace*.

    Of mutating ones those count that come after ours: API servers call configurations in the order of their names.
    """
    ours = {(each.kind, each.name) for each in manifests}
    names = {name for each in manifests for name in each.paths}
    last = max(each.name for each in manifests)
    others = [
        (kind, configuration, webhook)
        for kind, configuration, webhook in _webhooks(configurations)
        if (kind, configuration) not in ours
    ]
    return OtherWebhooks(
        tuple(_told(*each) for each in others if each[2].get("name") in names),
        tuple(_told(*each) for each in others if _calls_us(each[2], namespace)),
        tuple(
            _told(*each)
            for each in others
            if each[0].startswith("Mutating") and each[1] > last and any(map(_takes_pods, each[2].get("rules") or ()))
        ),
    )


def _webhooks(configurations: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for each in configurations:
        for webhook in each.get("webhooks") or ():
            yield each.get("kind", ""), (each.get("metadata") or {}).get("name", ""), webhook


def _told(kind: str, configuration: str, webhook: Mapping[str, Any]) -> str:
    return f"{webhook.get('name', '')} of {kind} {configuration}"


def _calls_us(webhook: Mapping[str, Any], namespace: str) -> bool:
    service = (webhook.get("clientConfig") or {}).get("service") or {}
    return (service.get("namespace"), service.get("name")) == (namespace, "userquota")


def _takes_pods(rule: Mapping[str, Any]) -> bool:
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    return bool({"", "*"} & set(groups)) and bool({"pods", "*", "*/*"} & set(resources))
