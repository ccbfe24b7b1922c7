"""
Which tenant of a policy is a project of the broker.
"""

from __future__ import annotations

from webhook.quota.errors import WebhookError
from webhook.quota.policy import Policy


class UnknownProjectError(WebhookError):
    """No tenant says that it is this project."""

    def __init__(self, project: str) -> None:
        """Say where *project* would be written."""
        super().__init__(f"no tenant is the project {project!a}: write tenants.NAME.project in the policy")


def tenant_of(policy: Policy, project: str) -> str:
    """Return the name of the tenant that is *project*. Raises: UnknownProjectError."""
    for name, each in policy.tenants.items():
        if each.project == project:
            return name
    raise UnknownProjectError(project)
