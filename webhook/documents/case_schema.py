"""
The shape of a file of policy tests, as pydantic models. What a case means is in `case_text`.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from webhook.documents.mark_schema import Name, Part, ServiceAccountName
from webhook.documents.policy_amounts import HardList, Moment
from webhook.quota.policy import Unlimited
from webhook.quota.subject import SERVICE_ACCOUNT_PREFIX, UNATTRIBUTED


class Verdict(enum.Enum):
    """What a request comes to: it is allowed without a word, allowed with a warning, or refused."""

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"


def _read_manifest(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError("expected the path of a manifest, or the object itself")


def _read_policy(value: Any) -> Any:
    """Return paths as a list, and a policy as its fields."""
    paths = [value] if isinstance(value, str) else value
    if isinstance(paths, dict):
        return paths
    if not (isinstance(paths, list) and paths and all(isinstance(each, str) and each for each in paths)):
        raise ValueError("expected the path of a policy, a list of paths, or the policy itself")
    return paths


def _read_when(value: Any) -> Any:
    """Return a path, or an object, as one to be created."""
    if isinstance(value, str) or (isinstance(value, dict) and not {"apiVersion", "kind"}.isdisjoint(value)):
        return {"create": value}
    return value


def _read_expected(value: Any) -> Any:
    return {"verdict": value} if isinstance(value, str) else value


def _read_namespace(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Manifest = Annotated[Any, BeforeValidator(_read_manifest)]
"""The path of a file, or an object."""


class UserPart(Part):
    """Who acts."""

    user: Name | None = None
    serviceAccount: ServiceAccountName | None = None  # noqa: N815 - the names are those of the file
    groups: list[Name] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_named(self) -> UserPart:
        named = self._named()
        if sum(1 for value in named.values() if value) != 1:
            raise ValueError(f"expected one of {', '.join(named)}")
        if self.user is not None and self.user.startswith(SERVICE_ACCOUNT_PREFIX):
            raise ValueError("write a service account as serviceAccount: <namespace>/<name>")
        if self.user == UNATTRIBUTED:
            raise ValueError(f"{UNATTRIBUTED} stands for nobody")
        if self.groups and not (self.user or self.serviceAccount):
            raise ValueError("groups are those of a user or serviceAccount")
        return self

    def _named(self) -> dict[str, object]:
        """Return the fields of which one names somebody."""
        return {"user": self.user, "serviceAccount": self.serviceAccount}


class OwnerPart(UserPart):
    """Who pays for an object that exists."""

    unattributed: Literal[True] | None = None

    def _named(self) -> dict[str, object]:
        return {**super()._named(), "unattributed": self.unattributed}


class GivenPart(OwnerPart):
    """What exists already, and who pays for it; `group` stands for a member of whom nothing else is known."""

    group: Name | None = None
    namespace: Name | None = None
    uses: HardList = Field(default_factory=dict)
    objects: list[Manifest] = Field(default_factory=list)

    def _named(self) -> dict[str, object]:
        return {**super()._named(), "group": self.group}

    @model_validator(mode="after")
    def _check_given(self) -> GivenPart:
        if bool(self.uses) == bool(self.objects):
            raise ValueError("expected uses, with amounts, or objects, with manifests")
        if Unlimited.UNLIMITED in self.uses.values():
            raise ValueError("uses: nothing can use an unlimited amount")
        return self


class NamespacePart(Part):
    """What a namespace carries."""

    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class NamedNamespacePart(NamespacePart):
    """A namespace."""

    name: Name


class WhenPart(Part):
    """The request: one object that is created, updated or scaled. `owner` pays for the one that is there before."""

    create: Manifest | None = None
    update: Manifest | None = None
    old: Manifest | None = None
    scale: Manifest | None = None
    replicas: Annotated[int, Field(ge=0)] | None = None
    owner: OwnerPart | None = None

    @model_validator(mode="after")
    def _check_request(self) -> WhenPart:
        if sum(each is not None for each in (self.create, self.update, self.scale)) != 1:
            raise ValueError("expected one of create, update, scale")
        for name, needed_by in (("old", "update"), ("replicas", "scale")):
            if (getattr(self, name) is None) != (getattr(self, needed_by) is None):
                raise ValueError(f"{needed_by} and {name} belong together")
        if self.owner is not None and self.create is not None:
            raise ValueError("owner: whoever creates an object is named in as")
        return self


class ExpectPart(Part):
    """What the request has to come to."""

    verdict: Verdict
    limit: Name | None = None
    message: Name | None = None

    @model_validator(mode="after")
    def _check_silent(self) -> ExpectPart:
        if self.verdict is Verdict.ALLOW and (self.limit or self.message):
            raise ValueError("what is allowed is bound by no limit and has no message: expect warn or deny")
        return self


class CasePart(Part):
    """One case."""

    name: Name
    given: list[GivenPart] = Field(default_factory=list)
    actor: UserPart = Field(alias="as")
    namespace: Annotated[NamedNamespacePart, BeforeValidator(_read_namespace)] | None = None
    when: Annotated[WhenPart, BeforeValidator(_read_when)]
    at: Moment | None = None
    expect: Annotated[ExpectPart, BeforeValidator(_read_expected)]


class CasesPart(Part):
    """A file of cases."""

    policy: Annotated[Any, BeforeValidator(_read_policy)]
    at: Moment | None = None
    namespaces: dict[Name, NamespacePart] = Field(default_factory=dict)
    cases: list[CasePart] = Field(min_length=1)
