"""
What was read of a cluster and of an installation, before anything is judged.

Each part is its value, `Unread` where it could not be looked at, and None where the object is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unread:
    """Why something could not be read; `right` is the one that is missing, if that is why."""

    why: str
    right: str = ""


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """Our namespace. `is_ending`: it is being deleted."""

    labels: Mapping[str, str]
    is_ending: bool = False


@dataclass(frozen=True, slots=True)
class QuotaFacts:
    """A ResourceQuota in our namespace: how many objects of a resource it has room for."""

    name: str
    room: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DeploymentFacts:
    """Our Deployment. `available` counts its ready pods, `args` are those of its first container."""

    replicas: int
    available: int
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    account: str = "default"


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """Our Service; `families` are `IPv4` and `IPv6`."""

    ports: tuple[int, ...]
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """The addresses behind our Service."""

    ready: int
    unready: int


@dataclass(frozen=True, slots=True)
class ViewFacts:
    """An APIService of ours. `trouble` is why it is not available, empty if it is."""

    has_bundle: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class WebhookFacts:
    """
    Our webhook configurations.

    `missing` are configurations that are not there, `differences` what is not as in the manifests, `foreign` webhooks
    of others in ours. `is_ours`: at least one webhook is. `untrusted` are webhooks with an empty caBundle, `expired`
    those that trust nothing but certificates that are out of date, `strangers` those that do not trust the authority of
    our Secret, None where that was not compared. `urls` are where we are called if not through the Service.
    """

    missing: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    is_ours: bool = True
    exempt: frozenset[str] = frozenset()
    exemption_remarks: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    strangers: tuple[str, ...] | None = None
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherWebhooks:
    """
    Webhooks of other configurations, each with that: those with a name of ours, those that call our Service, and
    mutating ones that are called for pods.
    """

    same_names: tuple[str, ...] = ()
    same_service: tuple[str, ...] = ()
    changing_pods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The ConfigMaps of the policy by name, and the mistakes in them."""

    maps: tuple[str, ...]
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """
    A pod that was created in a dry run in `namespace`.

    `error` is empty if it was admitted. `is_stamped`: the answer carries our annotations. `added` are containers that
    it was not created with. `seconds` is how long it took.
    """

    namespace: str
    error: str = ""
    is_stamped: bool = False
    added: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """
    All that was read.

    `skew` is how many seconds this machine's clock is ahead of the API server's, None if it does not tell. `leases`
    counts API servers that renew one. `account_lacks` are rights of the manifests that our account does not have, None
    where no account was asked about. `own_pod` is a pod of ours tried in our namespace, `last_mile` one of anybody
    elsewhere, to see that we are asked. `ledger` is its condition, see `wiring.inspection`.
    """

    name: str
    route: str = ""
    version: tuple[int, int, str] | Unread
    groups: frozenset[str] | Unread
    leases: int | Unread
    skew: float | Unread | None
    namespace: NamespaceFacts | Unread | None
    quotas: tuple[QuotaFacts, ...] | Unread
    own_pod: Trial | Unread | None
    account_lacks: tuple[str, ...] | Unread | None
    deployment: DeploymentFacts | Unread | None
    service: ServiceFacts | Unread | None
    endpoints: EndpointFacts | Unread | None
    webhooks: WebhookFacts | Unread
    others: OtherWebhooks | Unread
    authority: bool | Unread
    view: ViewFacts | Unread | None
    liquid: ViewFacts | Unread | None
    policy: PolicyFacts | Unread
    ledger: str | Unread
    last_mile: Trial | Unread | None

    @property
    def is_installed(self) -> bool:
        """Whether there is something of an installation that can stop others: what is missing then is wrong."""
        has_webhooks = isinstance(self.webhooks, WebhookFacts) and self.webhooks.is_ours
        return has_webhooks or isinstance(self.deployment, DeploymentFacts)

    @property
    def is_called_by_url(self) -> bool:
        """Whether API servers call us at a URL: then there need not be a Deployment or a Service."""
        return isinstance(self.webhooks, WebhookFacts) and bool(self.webhooks.urls)
