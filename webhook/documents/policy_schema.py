"""
The shape of a policy document, as pydantic models: fields, types, units.

The places of mistakes are in `policy_text`, what several documents mean together in `policy_merge`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from webhook.documents import json_forms
from webhook.documents.catalogue_schema import ResourcesPart
from webhook.documents.commitment_schema import CommitmentPart
from webhook.documents.hint_schema import WARN_AT, Link, Sentence, hint_of, read_warn_at
from webhook.documents.holder_schema import HolderPart
from webhook.documents.mark_schema import LabelKey, MarkPart, Name, Part, Project, ServiceAccountName, Written
from webhook.documents.node_class_schema import NodeClassesPart, NodeClassName
from webhook.documents.policy_amounts import (
    HardList,
    MinimumList,
    Moment,
    SessionHardList,
    Units,
    read_quantity,
)
from webhook.documents.shipped_presets import PresetItem
from webhook.documents.window_schema import DayRange, TimeOfDay, Zone
from webhook.kinds.registry import KINDS
from webhook.quota import missing, scopes
from webhook.quota.exemption import ExemptBy
from webhook.quota.membership import GroupObjects, Membership
from webhook.quota.missing import Missing
from webhook.quota.policy import (
    AccountLimits,
    Combine,
    Mode,
    OnWorkload,
    Reserve,
    SessionCount,
    Terminating,
    WorkloadPayer,
)
from webhook.quota.quantity import Quantity
from webhook.quota.scopes import Operator, Requirement, Selector
from webhook.quota.subject import SERVICE_ACCOUNT_PREFIX
from webhook.quota.tags import MOST_TAGS
from webhook.quota.windows import DAYS, Window


def _read_default(value: Any, *, instead: str = "write ignore, or require") -> Quantity:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("expected an amount such as 100m or 256Mi")  # noqa: TRY004 - as above
    amount = read_quantity(str(value))
    if amount.nanos < 0:
        raise ValueError(f"{value} is negative")
    if amount.nanos == 0:
        raise ValueError(f"a default of 0 declares nothing: {instead}")
    return amount.rounded_up()


def _read_of_category(value: Any) -> Quantity:
    return _read_default(value, instead="leave it out")


def _read_missing(value: Any, read_part: ValidatorFunctionWrapHandler) -> Any:
    """Return a word as what it stands for, and anything else as fields with a default."""
    if isinstance(value, str) and not isinstance(value, Written):
        if value not in {word.value for word in Missing}:
            raise ValueError(f"unknown word {value}")
        return Missing(value)
    if not isinstance(value, dict):
        raise ValueError("expected require, ignore, or a default as in {default: 256Mi}")  # noqa: TRY004 - as above
    return read_part(value)


_FULL_NAMES = {full: short for short, full in missing.NAMES.items() if full != short}
_MISSING_NAMES = sorted(missing.NAMES.keys() - _FULL_NAMES.keys())


def _missing_name(name: str) -> str:
    if name in _FULL_NAMES:
        raise ValueError(f"write {_FULL_NAMES[name]}")
    if name not in missing.NAMES:
        raise ValueError("unknown request or limit")
    return name


def _read_on_workload(value: Any) -> Any:
    """YAML takes an unquoted `off` for false."""
    return OnWorkload.OFF if value is False else value


def _read_version(value: Any) -> Any:
    """Python takes `true` for 1."""
    return None if isinstance(value, bool) else value


def _tags(keys: list[str]) -> list[str]:
    if len(keys) > MOST_TAGS:
        raise ValueError(f"{len(keys)} keys, expected at most {MOST_TAGS}")
    twice = sorted(key for key, number in Counter(keys).items() if number > 1)
    if twice:
        raise ValueError(f"{twice[0]} is listed twice")
    return keys


def _scope(name: str) -> str:
    if name not in scopes.KNOWN:
        raise ValueError(f"unknown scope {name}")
    return name


def _kind(name: str) -> str:
    if KINDS.of_resource(name) is None:
        raise ValueError(f"unknown kind {name}")
    return name


ScopeName = Annotated[str, AfterValidator(_scope), json_forms.words(sorted(scopes.KNOWN))]

KindName = Annotated[str, AfterValidator(_kind), json_forms.words(sorted(each.resource for each in KINDS))]
OnWorkloadWord = Annotated[
    OnWorkload,
    BeforeValidator(_read_on_workload),
    json_forms.words([*(each.value for each in OnWorkload), False]),
]

_HARD = (
    "The most that may be used in all, by resource. "
    "0 forbids, absent inherits, `unlimited` lifts what would be inherited."
)
_SCOPED = "Limits on a part of the objects, by the scopes of ResourceQuota."


class RequirementPart(Part):
    """One condition of a `scopeSelector`, in the words of ResourceQuota."""

    scopeName: ScopeName = Field(  # noqa: N815
        description="A scope, as `PriorityClass`."
    )
    operator: Operator = Field(description="`In`, `NotIn`, `Exists` or `DoesNotExist`.")
    values: list[Name] = Field(default_factory=list, description="Names of classes, for `In` and `NotIn`.")

    @model_validator(mode="after")
    def _check_values(self) -> RequirementPart:
        if self.scopeName in scopes.WITHOUT_VALUES and self.operator is not Operator.EXISTS:
            raise ValueError(f"scope {self.scopeName} has no values: its operator has to be Exists")
        if (self.operator in (Operator.IN, Operator.NOT_IN)) != bool(self.values):
            has = "needs" if not self.values else "takes no"
            raise ValueError(f"operator {self.operator.value} {has} values")
        return self


class ScopeSelectorPart(Part):
    """`scopeSelector` of a ResourceQuota."""

    matchExpressions: list[RequirementPart] = Field(  # noqa: N815
        min_length=1, description="Conditions that all have to hold."
    )


class SumPart(Part):
    """Limits on a sum."""

    hard: HardList = Field(default_factory=dict, description=_HARD)
    mode: Mode = Field(
        default=Mode.ENFORCE,
        description="`enforce` (default) refuses, `warn` tells the person in a warning, `audit` only the audit log.",
    )
    workloads: OnWorkloadWord = Field(
        default=OnWorkload.WARN,
        description=(
            "What happens with a workload whose pods do not all fit under a limit of this entry: "
            "`warn` (default), `deny` or `off`."
        ),
    )
    until: Moment | None = Field(
        default=None,
        description=(
            "When the entry stops being in force, as `2027-01-31T00:00:00Z`; the time zone is "
            "required. At that very second it is over."
        ),
    )
    message: Sentence | None = Field(
        default=None,
        description=(
            "What whoever is refused by a limit of this entry is told beside the numbers: one line of "
            "plain text, as `ask in #gpu-users`, with at most 200 characters. The words `exceeded "
            "quota`, after which programs wait, are refused here. Items of `scoped` have the one of "
            "their entry, or their own."
        ),
    )
    link: Link | None = Field(
        default=None,
        description=(
            "A link that is told with `message`, as `https://wiki.example.com/quota`, with at most 200 characters."
        ),
    )

    @property
    def hint(self) -> str:
        """Return what the admins say to whoever exceeds it."""
        return hint_of(self.message, self.link)


class ScopedPart(SumPart):
    """Limits on the sum of those objects that are in all of the scopes."""

    scopes: list[ScopeName] = Field(
        default_factory=list, description="Scopes of ResourceQuota, as `BestEffort`, which all have to hold."
    )
    scopeSelector: ScopeSelectorPart | None = Field(  # noqa: N815
        default=None,
        description="Conditions on scopes, written as in a ResourceQuota. They have to hold beside `scopes`.",
    )
    onDemand: bool = Field(  # noqa: N815
        default=False,
        description="`true`: only what no commitment covers counts, of one class of nodes.",
    )
    units: Units | None = Field(
        default=None,
        description=(
            "The most, instead of `hard`: a number of the units of the one class of nodes that is selected. 0 forbids "
            "what is in a unit, `unlimited` lifts what would be inherited."
        ),
    )

    @property
    def selector(self) -> Selector:
        """Return what it selects."""
        listed = [Requirement(name) for name in self.scopes]
        if self.scopeSelector is not None:
            listed += [
                Requirement(each.scopeName, each.operator, tuple(sorted(set(each.values))))
                for each in self.scopeSelector.matchExpressions
            ]
        return replace(Selector.of(listed), on_demand=self.onDemand)

    @property
    def node_class(self) -> str:
        """Return the class of nodes that it selects, empty if that is not one alone."""
        conditions = [each for each in self.selector.requirements if each.scope == scopes.NODE_CLASS]
        found = [each.values for each in conditions if each.operator is Operator.IN]
        return found[0][0] if len(conditions) == len(found) == 1 and len(found[0]) == 1 else ""

    @model_validator(mode="after")
    def _check_units(self) -> ScopedPart:
        if self.units is not None and self.hard:
            raise ValueError("hard and units both say how much: give one of them")
        if self.units is not None and not self.node_class:
            raise ValueError("units are those of a class: select one by NodeClass, In, with one value")
        return self

    @model_validator(mode="after")
    def _check_scopes(self) -> ScopedPart:
        names = {each.scope for each in self.selector.requirements}
        if not names:
            raise ValueError("it selects nothing: write scopes or scopeSelector")
        for one, other in scopes.OPPOSITES:
            if {one, other} <= names:
                raise ValueError(f"no object is both {one} and {other}")
        if self.onDemand and not self.selector.node_class:
            raise ValueError(
                "a limit on demand is of one class of nodes: select by NodeClass, In and one value, and by nothing else"
            )
        return self


class WindowPart(Part):
    """Limits on a sum at times that come again."""

    days: list[DayRange] = Field(
        default_factory=lambda: [frozenset(range(len(DAYS)))],
        min_length=1,
        description=(
            "Days of the week and ranges of them, `mon` to `sun`; without it every day. `fri-mon` "
            "goes over the weekend."
        ),
    )
    begins: TimeOfDay = Field(
        alias="from", description='The time of day at which it begins, with two digits each, as `"20:00"`.'
    )
    ends: TimeOfDay = Field(
        alias="to",
        description=(
            "The time of day at which it is over, written as `from`. If it is not later than `from`, "
            "it is that of the next day: the same time twice is a whole day."
        ),
    )
    zone: Zone = Field(
        description="The clock that shows these times, with its name of IANA, as `Europe/Berlin` or `UTC`."
    )
    hard: HardList = Field(description="The amounts that hold instead, by resource.")

    @property
    def window(self) -> Window:
        """Return when they hold."""
        return Window(frozenset().union(*self.days), self.begins, self.ends, self.zone)


class GuaranteePart(HolderPart):
    """A part of a limit on what many share, set aside for one of them."""

    hard: HardList = Field(min_length=1, description="How much of the limit, by resource.")


class PoolPart(SumPart):
    """Limits on a sum, and on parts of it."""

    tier: Name | None = Field(default=None, description="The name of a tier, whose amounts the entry has besides.")
    windows: list[WindowPart] = Field(
        default_factory=list,
        description=(
            "Other amounts at times that come again, as at night. Of those that hold at once the first counts."
        ),
    )
    scoped: list[ScopedPart] = Field(default_factory=list, description=_SCOPED)
    guaranteed: list[GuaranteePart] = Field(
        default_factory=list,
        description=(
            "Parts of `hard` that are set aside for somebody inside, whether they use it or not: in entries of tenants "
            "and namespaces, in pools of groups, and in `cluster`."
        ),
    )


class CapsPart(Part):
    """Limits on single objects."""

    perPod: HardList = Field(  # noqa: N815 - the names are those of the file
        default_factory=dict, description="The most that one pod may ask for, by resource."
    )
    minPerPod: MinimumList = Field(  # noqa: N815
        default_factory=dict,
        description="The least that one pod has to ask for, by resource; 0 lifts an inherited one.",
    )
    minPerSession: MinimumList = Field(  # noqa: N815
        default_factory=dict,
        description=(
            "The least that all pods of one session together have to ask for, by resource; 0 lifts an inherited one."
        ),
    )
    perSession: SessionHardList = Field(  # noqa: N815
        default_factory=dict,
        description=(
            "The most that all pods of one session may cost together, by resource, and how long it "
            "may run (`duration: 8h`) and be idle (`idle: 30m`)."
        ),
    )
    perClaim: HardList = Field(  # noqa: N815
        default_factory=dict, description="The most that one PersistentVolumeClaim may ask for, by resource."
    )


class EntryPart(CapsPart, PoolPart):
    """An entry: limits on a sum and on single objects."""


class TierPart(CapsPart):
    """Amounts that entries refer to by a name; all else is said by the entry."""

    hard: HardList = Field(default_factory=dict, description=_HARD)
    scoped: list[ScopedPart] = Field(default_factory=list, description=_SCOPED)


class GroupPart(Part):
    """A group: limits on what its members use together, and on what each of them uses."""

    perMember: EntryPart | None = Field(  # noqa: N815
        default=None, description="An entry for each member."
    )
    pool: PoolPart | None = Field(
        default=None, description="Limits on what all members use together: an entry without limits on single objects."
    )
    members: list[Name] = Field(
        default_factory=list, description="Members beside those whose group the API server reports."
    )
    membership: Membership = Field(
        default=Membership.CREATION,
        description=(
            "Whose objects count: `creation` (default), also those of whoever was in the group when "
            "they were made; `live`, those of whoever is listed today."
        ),
    )


class NamespaceSelectorPart(Part):
    """Which namespaces belong to a tenant. Empty would mean all of them, which is what `cluster` is for."""

    matchLabels: dict[str, str] = Field(  # noqa: N815
        min_length=1,
        description="Labels that a namespace of the tenant has to have, all of them. At least one is required.",
    )


class TenantPart(EntryPart):
    """A set of namespaces, with limits on what is in all of them together."""

    namespaces: NamespaceSelectorPart = Field(description="Which namespaces make up the tenant.")
    perNamespace: EntryPart | None = Field(  # noqa: N815
        default=None, description="An entry for each of its namespaces."
    )
    project: Project | None = Field(
        default=None, description="The id by which a quota broker knows it. No other tenant has the same."
    )


class DefaultsPart(Part):
    """What binds owners without an entry of their own."""

    user: EntryPart | None = Field(default=None, description="An entry for people without one.")
    serviceAccount: EntryPart | None = Field(  # noqa: N815
        default=None,
        description=(
            "An entry for the service accounts of a namespace that act for nobody known, all of them together."
        ),
    )
    unattributed: EntryPart | None = Field(
        default=None,
        description=(
            "An entry for everything that nobody is known to own, taken together. Without it such "
            "pods have no personal limit."
        ),
    )


class RulePart(EntryPart):
    """Limits of people by their names or groups; of several rules that hold for somebody the first counts."""

    name: Name = Field(description="What refusals call it: `rules.students`.")
    users: list[Name] = Field(default_factory=list, description="People for whom it holds, by name.")
    groups: list[Name] = Field(
        default_factory=list,
        description="Groups for whose members it holds. Each needs an entry under `groups`, if an empty one.",
    )

    @model_validator(mode="after")
    def _check_people(self) -> RulePart:
        if not (self.users or self.groups):
            raise ValueError("expected users or groups; what holds for everybody is defaults.user")
        return self


class DelegatePart(Part):
    """A user or service account that says for whom it creates objects."""

    user: Name | None = Field(default=None, description="The user that is the delegate.")
    serviceAccount: ServiceAccountName | None = Field(  # noqa: N815
        default=None, description="The service account that is the delegate, as NAMESPACE/NAME."
    )
    owner: list[MarkPart] = Field(
        default_factory=list, description="Where it writes the name of the person who pays: marks, tried in this order."
    )
    sessions: bool = Field(
        default=False,
        description=(
            "`true`: where `owner` names nobody, or is left out, the session preset of the object's kind does."
        ),
    )
    kinds: list[KindName] = Field(
        default_factory=list,
        description="The kinds of objects for which it may name a payer, as `deployments.apps`; all by default.",
    )
    never: list[Name] = Field(
        default_factory=list, description="Names that it must not say. Names that begin with `system:` it never may."
    )

    @model_validator(mode="after")
    def _check_user(self) -> DelegatePart:
        if (self.user is None) == (self.serviceAccount is None):
            raise ValueError("expected one of user, serviceAccount")
        if not (self.owner or self.sessions):
            raise ValueError("expected owner, where the name is written, or sessions: true for those of the presets")
        return self


class AttributionPart(Part):
    """Who may act for others, and who pays for what nobody else does."""

    trustedControllers: list[ServiceAccountName] = Field(  # noqa: N815
        default_factory=list,
        description="Service accounts, as NAMESPACE/NAME, that make pods for the owner of another object.",
    )
    restorers: list[ServiceAccountName] = Field(
        default_factory=list,
        description=(
            "Service accounts, as NAMESPACE/NAME, that restore objects from a backup: the stamps that these carry stay."
        ),
    )
    delegates: list[DelegatePart] = Field(
        default_factory=list, description="Users and service accounts that name who pays for what they create."
    )
    namespaceOwners: list[MarkPart] = Field(  # noqa: N815
        default_factory=list,
        description=(
            "Where a namespace says who owns it and pays for what service accounts create there: "
            "marks, tried in this order."
        ),
    )
    payer: WorkloadPayer | None = Field(
        default=None,
        description=(
            "Who pays for the pods that a workload makes: `maker` (default), or `lastEditor`, the "
            "person who has last changed what it makes."
        ),
    )
    groupObjects: GroupObjects | None = Field(  # noqa: N815
        default=None, description="`openshift`: the users of `Group` objects are members as well."
    )

    @model_validator(mode="after")
    def _check_places(self) -> AttributionPart:
        for each in self.namespaceOwners:
            if not all(mark.place.is_of_namespace for mark in each.marks):
                raise ValueError("namespaceOwners: only a namespace can say who owns it, not an object in it")
        return self


class ExemptPart(Part):
    """One exemption: whom or what it names, why, and until when."""

    user: Name | None = Field(default=None, description="The user who is exempt.")
    serviceAccount: ServiceAccountName | None = Field(  # noqa: N815
        default=None, description="The service account that is exempt, as NAMESPACE/NAME."
    )
    group: Name | None = Field(
        default=None, description="The group whose members are exempt: those who log in with it."
    )
    namespace: Name | None = Field(default=None, description="The namespace in which everything is exempt.")
    priorityClass: Name | None = Field(  # noqa: N815
        default=None, description="The priority class of which every pod is exempt."
    )
    reason: Name = Field(description="Why; required.")
    until: Moment | None = Field(
        default=None, description="When the exemption ends, as `2027-06-30T00:00:00Z`; the time zone is required."
    )

    @property
    def named(self) -> list[tuple[ExemptBy, str]]:
        """Return what it names."""
        found = ((by, getattr(self, by.value)) for by in ExemptBy)
        return [(by, name) for by, name in found if name is not None]

    @model_validator(mode="after")
    def _check_named(self) -> ExemptPart:
        if len(self.named) != 1:
            raise ValueError(f"expected one of {', '.join(by.value for by in ExemptBy)}")
        if self.user is not None and self.user.startswith(SERVICE_ACCOUNT_PREFIX):
            raise ValueError("write a service account as serviceAccount: <namespace>/<name>")
        return self


MissingName = Annotated[str, AfterValidator(_missing_name), json_forms.words(_MISSING_NAMES)]
CategoryAmount = Annotated[Any, BeforeValidator(_read_of_category), WithJsonSchema(json_forms.DEFAULT_AMOUNT)]


class SessionsPart(Part):
    """What counts as sessions."""

    presets: list[PresetItem] = Field(
        default_factory=list,
        description=(
            "Which objects are sessions, and how they are read: names of shipped presets, shipped "
            "ones with fields of your own, or your own."
        ),
    )
    count: SessionCount | None = Field(
        default=None,
        description=(
            "`all` (default): every session that has not ended has a place in `sessions`. `running`: "
            "those that are stopped have none."
        ),
    )
    categories: dict[Name, dict[MissingName, CategoryAmount]] = Field(
        default_factory=dict,
        description=(
            "What the containers of a session get that do not declare it, by the category of the "
            "session; `default` is for those without one."
        ),
    )


class MissingPart(Part):
    """What is filled in for a container that does not declare a resource."""

    default: Annotated[Any, BeforeValidator(_read_default), WithJsonSchema(json_forms.DEFAULT_AMOUNT)] = Field(
        description="The amount that is filled into a container that does not declare it, when the pod is created."
    )


TagKeys = Annotated[list[LabelKey], AfterValidator(_tags), Field(json_schema_extra={"maxItems": MOST_TAGS})]

MissingRule = Annotated[MissingPart, WrapValidator(_read_missing, json_schema_input_type=Missing | MissingPart)]
"""A `MissingPart`, or a `Missing` for a word."""


class PolicyPart(Part):
    """One document of a policy."""

    version: Annotated[Literal[1], BeforeValidator(_read_version)] = Field(description="The version of this form: `1`.")
    tiers: dict[Name, TierPart] = Field(
        default_factory=dict, description="Amounts with a name, which entries refer to."
    )
    defaults: DefaultsPart | None = Field(default=None, description="Entries for those who have none of their own.")
    rules: list[RulePart] = Field(
        default_factory=list,
        description="Entries for people by their names or groups, in order: the first that holds counts.",
    )
    users: dict[Name, EntryPart] = Field(default_factory=dict, description="Entries for single people, by name.")
    serviceAccounts: dict[ServiceAccountName, EntryPart] = Field(  # noqa: N815
        default_factory=dict, description="Entries for single service accounts, by NAMESPACE/NAME."
    )
    groups: dict[Name, GroupPart] = Field(
        default_factory=dict, description="Limits of groups and of their members, by the name of the group."
    )
    tenants: dict[Name, TenantPart] = Field(
        default_factory=dict, description="Entries for sets of namespaces, by the name of the tenant."
    )
    namespaces: dict[Name, EntryPart] = Field(
        default_factory=dict, description="Entries for single namespaces, by name."
    )
    cluster: EntryPart | None = Field(default=None, description="An entry for everything.")
    combine: Combine | None = Field(
        default=None,
        description="How the `perMember` caps of several groups meet: `most-restrictive` (default), `max`, `sum`.",
    )
    terminating: Terminating | None = Field(
        default=None,
        description=(
            "`release` (default): a pod past the grace period of its deletion costs nothing but "
            "`count/pods`, as with ResourceQuota. `hold`: it costs all until it has ended or is gone."
        ),
    )
    reserve: list[Reserve] | None = Field(
        default=None,
        description=(
            "For what room is set aside before it is used, a list: `autoscalers`, for the pods that a workload has "
            "when its HorizontalPodAutoscaler has scaled it to `maxReplicas`; `sessions`, for those of a session at "
            "the `upTo` of its preset, as long as it runs. Default: for neither."
        ),
    )
    tags: TagKeys | None = Field(
        default=None,
        description=(
            f"The labels of objects that allocations show, a list of at most {MOST_TAGS} keys such as `cost-center`. "
            "Nothing is decided by them. Default: none."
        ),
    )
    serviceAccountLimits: AccountLimits | None = Field(  # noqa: N815
        default=None,
        description=(
            "`perNamespace` (default): all service accounts of a namespace without an entry of their "
            "own are one payer, because who may edit a namespace can make as many as they like. "
            "`perAccount`: each has the default for itself."
        ),
    )
    warnAt: Annotated[Any, BeforeValidator(read_warn_at), WARN_AT] = Field(  # noqa: N815
        default=None,
        description=(
            "`off` (default), or a share of a limit as in `80%`: whoever creates something is warned "
            "when the limit that is fullest is that full, what is created among it. Accounts, "
            "controllers and who is exempt are not, and nobody is warned of a change. It is off "
            "because `kubectl --warnings-as-errors` fails what is fine, and ResourceQuota says "
            "nothing of it."
        ),
    )
    exempt: list[ExemptPart] = Field(default_factory=list, description="Whom and what no limit refuses.")
    missing: dict[MissingName, MissingRule] = Field(
        default_factory=dict,
        description=(
            "What happens with a pod whose containers do not declare a resource, by resource: "
            "`require` refuses it where the resource is limited, `default` fills an amount in, "
            "`ignore` lets it be."
        ),
    )
    attribution: AttributionPart | None = Field(
        default=None, description="Who may act for others, and who pays for what nobody else does."
    )
    resources: ResourcesPart | None = Field(
        default=None,
        description=(
            "The catalogue: by the name of a resource, what people call it, and a default for every person; of "
            "`gpu` and `accelerator` also what each device counts, over the shipped weights."
        ),
    )
    sessions: SessionsPart | None = Field(
        default=None, description="Which objects are sessions, and what counts of them."
    )
    nodeClasses: NodeClassesPart | None = Field(  # noqa: N815
        default=None,
        description="Classes of nodes, by name, in order: a node is of the first whose labels it has.",
    )
    brokerQuotas: dict[Name, dict[NodeClassName, HardList]] = Field(  # noqa: N815
        default_factory=dict,
        description=(
            "What a broker of quotas allows tenants: by tenant, for each class of nodes, amounts as in an entry with "
            "this scope. Written by userquota where a broker drives it."
        ),
    )
    commitments: dict[Name, CommitmentPart] = Field(
        default_factory=dict, description="What was promised of classes of nodes, by an identifier of your own."
    )


SectionPart: TypeAlias = EntryPart | GroupPart | TierPart | CommitmentPart

SECTIONS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter[Any](PolicyPart.model_fields[name].annotation or dict)
    for name in ("tiers", "users", "serviceAccounts", "groups", "tenants", "namespaces", "commitments")
}
"""The fields of a document that may hold thousands of entries: they are checked one entry at a time."""
