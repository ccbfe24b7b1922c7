"""
All checks, in the order in which they are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from webhook.doctor import of_cluster, of_namespace, of_state, of_webhooks
from webhook.doctor.facts import Facts
from webhook.doctor.findings import Finding, Verdict
from webhook.doctor.last_mile import last_mile

CHECKS: Final = MappingProxyType[str, Callable[[Facts], Finding]](
    {
        "connection": of_cluster.connection,
        "server-version": of_cluster.server_version,
        "api-groups": of_cluster.api_groups,
        "api-server-leases": of_cluster.api_server_leases,
        "clock": of_cluster.clock,
        "your-rights": of_cluster.your_rights,
        "namespace": of_namespace.namespace,
        "quotas": of_namespace.quotas,
        "own-pods": of_namespace.own_pods,
        "account-rights": of_namespace.account_rights,
        "webhook-configurations": of_webhooks.webhook_configurations,
        "exemptions": of_webhooks.exemptions,
        "other-webhooks": of_webhooks.other_webhooks,
        "deployment": of_webhooks.deployment,
        "service": of_webhooks.service,
        "ca-bundle": of_webhooks.ca_bundle,
        "view": of_webhooks.view,
        "liquid": of_webhooks.liquid,
        "policy": of_state.policy,
        "ledger": of_state.ledger,
        "last-mile": last_mile,
    }
)
"""Each by its id, which does not change between versions."""


def check_up(facts: Facts) -> tuple[Finding, ...]:
    """Return the finding of each check."""
    return tuple(check(facts) for check in CHECKS.values())


def exit_code(findings: tuple[Finding, ...]) -> int:
    """Return 1 if anything is wrong, else 2 if anything could not be looked at, else 0."""
    verdicts = {each.verdict for each in findings}
    if Verdict.WRONG in verdicts:
        return 1
    return 2 if Verdict.UNKNOWN in verdicts else 0
