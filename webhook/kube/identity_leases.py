"""
The identity Leases of the API servers, which `webhook.ledger.apiserver_leases` looks at.

Each is named after its API server's host name: several on one machine share one.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from webhook.kube.api import UNREADABLE, ApiError, ForbiddenError, KubernetesApi, NotFoundError
from webhook.ledger.apiserver_leases import LeasesRefusedError
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectMeta, Shape

_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_OF_API_SERVERS = {"labelSelector": "apiserver.kubernetes.io/identity=kube-apiserver"}
_REASON = "api-server-leases"
_FAILURE = "the API servers' Leases could not be listed"


class _LeaseSpec(Shape, frozen=True):
    renew_time: str = ""


class _Lease(Shape, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: _LeaseSpec = _LeaseSpec()


class _Leases(Shape, frozen=True):
    items: list[_Lease] | None = None


_decoder = msgspec.json.Decoder(_Leases)


async def read_renewals(api: KubernetesApi) -> Mapping[str, str]:
    """
    Return the time of each API server's last renewal, by the name of its Lease, past every cache.

    The times are of the API servers' clocks: compare them for equality only.

    Raises: LeasesRefusedError if they may not be listed, or do not exist as an API; UnavailableError.
    """
    try:
        leases = _decoder.decode(await api.get(_PATH, query=_OF_API_SERVERS))
    except (ForbiddenError, NotFoundError) as error:
        raise LeasesRefusedError(_REASON, f"{_FAILURE}: {error}") from error
    except ApiError as error:
        raise UnavailableError(_REASON, f"{_FAILURE}: {error}") from error
    except UNREADABLE as error:
        raise LeasesRefusedError(_REASON, f"{_FAILURE}: the answer is no list: {error}") from error
    return {each.metadata.name: each.spec.renew_time for each in leases.items or ()}
