"""
What `userquota preflight` reads of a cluster, and the report that is made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from webhook.kube.api import KubernetesApi
from webhook.preflight.made_anew import made_anew
from webhook.preflight.report import Report, report_on
from webhook.quota.policy import Policy
from webhook.settings import Settings
from webhook.wiring.cluster_look import ClusterLook


async def look_before(settings: Settings, policy: Policy, *, also_exempt: Iterable[str], now: datetime) -> Report:
    """
    Return the report on the cluster in *settings* under *policy* at *now*.

    Left out are the namespaces that the live webhook configurations exempt, before they are there those of the
    manifests, and *also_exempt*.

    Raises: KubeconfigError; UnreachedError if no API server answers.
    """
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        look = ClusterLook(api)
        server = await look.version()
        await look.find_leases()
        exempt = await look.exempt_namespaces() | frozenset(also_exempt)
        [policy] = await look.informed(policy)
        census, kinds = await look.census(policy, exempt=exempt, now=now)
        anew = await made_anew(census, kinds)
        return report_on(census, anew=anew, server=server, exempt=exempt, gaps=look.gaps, unreadable=look.unreadable)
    finally:
        await api.close()
