"""
The Leases by which API servers tell each other that they are there.

Each is named after its API server's host name, so that several on one machine share one. See `reconcile.pulse`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from webhook.kube.api import ApiError, KubernetesApi
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectMeta, Shape

_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_OF_API_SERVERS = {"labelSelector": "apiserver.kubernetes.io/identity=kube-apiserver"}


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
    Give when each API server says that it renewed its Lease last, by the Lease's name, past every cache.

    The times are of the API servers' clocks: good only for seeing a change. Raises: UnavailableError.
    """
    try:
        leases = _decoder.decode(await api.get(_PATH, query=_OF_API_SERVERS))
    except ApiError as error:
        raise UnavailableError("api-server-leases", f"the API servers' Leases could not be listed: {error}") from error
    except msgspec.MsgspecError as error:
        why = f"the API servers' Leases could not be listed: the answer is no list: {error}"
        raise UnavailableError("api-server-leases", why) from error
    return {each.metadata.name: each.spec.renew_time for each in leases.items or ()}
