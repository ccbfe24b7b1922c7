"""
Builds a server without a cluster, for trials and benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Raw

from webhook import certificates
from webhook.admission.advice import WorkloadAdvice
from webhook.admission.handler import AdmissionHandler
from webhook.attribution.rules import Attribution
from webhook.documents.policy_text import read_policy
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS, Registry
from webhook.ledger.memory import StandaloneLedger
from webhook.policy_source import CurrentPolicy, read_files
from webhook.ports import READY, Clock, PolicySource, Transactions
from webhook.quota.errors import WebhookError
from webhook.quota.missing import Bounds
from webhook.quota.objects import ObjectKey, ObjectMeta, StoredVersion, UserInfo
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.resources import ResourceList
from webhook.quota.usage import UsageIndex
from webhook.serving.http_server import Health, HttpServer
from webhook.serving.metrics import Metrics
from webhook.settings import Settings
from webhook.wiring.application import (
    Application,
    SystemClock,
    answers,
    callers,
    gauges,
    identity_in_files,
    policy_remarks,
    show_process,
)
from webhook.wiring.quota_metrics import QuotaMetrics

T = TypeVar("T")


class StandaloneCluster:
    """
    Ports `Ancestry`, `Namespaces`, `NameHolders`, `LimitRanges`, `PodClasses`, `PodsOfWorkloads` and `HandoverRights`
    of an empty cluster.

    Namespaces have no labels and no LimitRange, there is no class, no owner exists, no name is taken, and nobody has a
    right.
    """

    async def holder(self, key: ObjectKey) -> StoredVersion | None:  # noqa: ARG002 - nothing is stored
        """Return None: no name is taken."""
        return None

    async def names(self, namespace: str, uid: str, selector: Raw) -> tuple[str, ...]:  # noqa: ARG002
        """Return none: controllers make nothing here."""
        return ()

    async def device_claims(self, namespace: str, pods: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002
        """Return none, as `names`."""
        return ()

    async def labelled(self, namespace: str, labels: Iterable[Sequence[tuple[str, str]]]) -> tuple[str, ...]:  # noqa: ARG002
        """Return none, as `names`."""
        return ()

    def require_known(self, resource: str, *, is_session: bool = False) -> None:
        """Do nothing: what exists was created here."""

    async def bounds(self, namespace: str) -> Mapping[str, Bounds]:  # noqa: ARG002
        """Return no bounds."""
        return {}

    async def overheads(self) -> Mapping[str, ResourceList]:
        """Return none."""
        return {}

    async def default_priority_class(self) -> str:
        """Return none."""
        return ""

    async def may_hand_over(self, user: UserInfo, namespace: str, owner: str) -> bool:  # noqa: ARG002
        """Return false."""
        return False

    def known(self, name: str) -> Mapping[str, str]:  # noqa: ARG002 - no namespace has labels
        """Return no labels."""
        return {}

    async def labels(self, name: str) -> Mapping[str, str]:
        """Return no labels."""
        return self.known(name)

    async def annotations(self, name: str) -> Mapping[str, str]:  # noqa: ARG002
        """Return no annotations."""
        return {}

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:  # noqa: ARG002
        """Return None: objects of controllers cannot be attributed without a cluster, and are denied."""
        return None

    async def read_whole(self, kind: AnyKind, namespace: str, name: str, shape: type[T]) -> T | None:  # noqa: ARG002
        """Return None, as `read`."""
        return None


def reviewers(  # noqa: PLR0913 - one for each port that is not the cluster's
    cluster: StandaloneCluster,
    policy: PolicySource,
    ledger: Transactions,
    clock: Clock,
    kinds: Registry,
    *,
    on_delete: Callable[[ObjectKey, str], None] | None = None,
) -> tuple[AdmissionHandler, WorkloadAdvice]:
    """Return what answers reviews, with every port that asks a cluster on *cluster*."""
    attribution = Attribution(cluster, cluster, policy, rights=cluster, kinds=kinds)
    handler = AdmissionHandler(
        attribution,
        policy,
        cluster,
        ledger,
        clock,
        cluster,
        cluster,
        cluster,
        cluster,
        cluster,
        kinds,
        on_delete=on_delete,
    )
    advice = WorkloadAdvice(
        attribution.users, cluster, cluster, policy, cluster, ledger, clock, cluster, cluster, cluster, kinds
    )
    return handler, advice


class PolicyFileError(WebhookError):
    """A policy file cannot be used at start. The message has one line per mistake."""


def build_standalone(settings: Settings) -> Application:
    """Build the application. Raises: PolicyFileError, CertificateError."""
    clock = SystemClock()
    cluster = StandaloneCluster()
    index = UsageIndex(accounts_under(Policy(), cluster.known))
    kinds = Registry(*KINDS)

    def take(new: Policy) -> None:
        index.rebind(accounts_under(new, cluster.known), new.devices)
        kinds.count(new.counted)

    policy = CurrentPolicy(on_change=take, on_mistakes=lambda _: None)
    _load(policy, settings)
    ledger = StandaloneLedger(index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY)
    handler, advice = reviewers(cluster, policy, ledger, clock, kinds, on_delete=ledger.on_delete)
    remarks = policy_remarks(policy, clock, index)
    health = Health({"policy": policy.condition}, warnings={"policy-notes": remarks.condition})
    identity = identity_in_files(settings, clock) or certificates.self_signed(("localhost", "127.0.0.1", "::1"), clock)
    metrics = Metrics(gauges(index, policy))
    show_process(metrics, health, identity)
    quotas = QuotaMetrics(policy, index, cluster.known, metrics, clock, settings.metrics_subjects)
    return Application(
        settings,
        HttpServer(answers(handler, advice), health, metrics, callers(settings, identity)),
        identity,
        policy,
        tasks=(quotas.run,),
        close=_nothing_to_close,
    )


def _load(policy: CurrentPolicy, settings: Settings) -> None:
    """Put the policy in force. Raises: PolicyFileError, which tells its mistakes: they are not logged as well."""
    try:
        texts = read_files(settings.policy)
    except OSError as error:
        raise PolicyFileError(f"the policy cannot be read: {error.filename}: {error.strerror}") from error
    reading = read_policy(texts)
    if reading.mistakes:
        raise PolicyFileError("\n".join(map(str, reading.mistakes)))
    policy.accept(texts, reading)


async def _nothing_to_close() -> None:
    """Return at once: a process without a cluster has no connections."""
