"""On whose accounts objects are booked: it follows the policy and the labels of namespaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from webhook.quota.book import Bind
from webhook.quota.policy import Policy, subjects
from webhook.quota.subject import Payer, Subject


def binding(policy: Policy, labels_of: Callable[[str], Mapping[str, str]]) -> Bind:
    """Give on whose accounts objects are booked, under *policy* and with the labels that namespaces have now."""

    def bind(payer: Payer, namespace: str) -> tuple[Subject, ...]:
        return subjects(policy, payer, namespace, labels_of(namespace))

    return bind
