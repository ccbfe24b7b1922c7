"""
The part of a policy that says who holds a commitment or a guarantee.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from webhook.documents.mark_schema import Name, Part, ServiceAccountName
from webhook.quota.subject import SERVICE_ACCOUNT_PREFIX, Subject, group, namespace, tenant, user


class HolderPart(Part):
    """One holder: exactly one of the fields is given."""

    user: Name | None = Field(default=None, description="The person who holds it.")
    serviceAccount: ServiceAccountName | None = Field(  # noqa: N815
        default=None,
        description="The service account that holds it, as NAMESPACE/NAME. It needs an entry of its own.",
    )
    namespace: Name | None = Field(default=None, description="The namespace that holds it.")
    group: Name | None = Field(default=None, description="The group whose members hold it together.")
    tenant: Name | None = Field(default=None, description="The tenant that holds it.")

    @model_validator(mode="after")
    def _check_holder(self) -> HolderPart:
        named = [each for each in HolderPart.model_fields if getattr(self, each)]
        if len(named) != 1:
            raise ValueError("expected one of user, serviceAccount, namespace, group, tenant: who holds it")
        return self

    @property
    def holder(self) -> Subject:
        """Return who holds it."""
        if self.tenant is not None:
            return tenant(self.tenant)
        if self.group is not None:
            return group(self.group)
        if self.namespace is not None:
            return namespace(self.namespace)
        if self.serviceAccount is not None:
            return user(SERVICE_ACCOUNT_PREFIX + self.serviceAccount.replace("/", ":"))
        return user(self.user or "")


def holder_fields(holder: Subject) -> dict[str, str]:
    """Return the field that names a *holder*: the inverse of `HolderPart.holder`."""
    kind, _, name = holder.partition("/")
    if kind == "user" and name.startswith(SERVICE_ACCOUNT_PREFIX):
        return {"serviceAccount": name.removeprefix(SERVICE_ACCOUNT_PREFIX).replace(":", "/")}
    return {kind: name}
