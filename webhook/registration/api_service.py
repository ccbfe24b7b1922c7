"""
The caBundle of the APIService by which API servers pass on what is asked of the API group `view.userquota.dev`.

It is installed by others; one that is not there is left out.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from webhook.kube.api import APPLY, KubernetesApi, NotFoundError
from webhook.quota.errors import UNREADABLE
from webhook.registration.bundles import OVERLAP_SECONDS, Overlap, certificates
from webhook.registration.forms import BUNDLE_MANAGER
from webhook.registration.manifest import RegistrationError

NAME: Final = "v1alpha1.view.userquota.dev"
_API_VERSION: Final = "apiregistration.k8s.io/v1"
_ADDRESS: Final = f"/apis/{_API_VERSION}/apiservices/{NAME}"


class _Spec(msgspec.Struct, frozen=True):
    ca_bundle: bytes | None = msgspec.field(name="caBundle", default=None)  # base64, which msgspec decodes


class _ApiService(msgspec.Struct, frozen=True):
    spec: _Spec


async def read_bundle(api: KubernetesApi) -> bytes | None:
    """
    Return the caBundle, PEM, None where the APIService is not installed.

    Raises: ApiError; RegistrationError when the answer of the API server cannot be read.
    """
    try:
        return msgspec.json.decode(await api.get(_ADDRESS), type=_ApiService).spec.ca_bundle or b""
    except NotFoundError:
        return None
    except UNREADABLE as error:
        raise RegistrationError(f"APIService {NAME}: the API server's answer cannot be read: {error}") from error


class ApiServiceBundle:
    """Keeps the certificates that this replica wants in the caBundle, see ``Overlap``. Belongs to one event loop."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        overlap_seconds: float = OVERLAP_SECONDS,
    ) -> None:
        self._api = api
        self._overlap = Overlap(monotonic, seconds=overlap_seconds)

    async def ensure(self, wanted: Sequence[bytes], *, may_remove: bool) -> None:
        """
        Put *wanted* into the caBundle; with *may_remove* leave out what was there for too long beyond it.

        Raises: ApiError; RegistrationError when the answer of the API server cannot be read.
        """
        found = await read_bundle(self._api)
        if found is None:
            return
        self._overlap.observe([found] if certificates(found) else [], wanted=wanted)
        bundle = self._overlap.merge(found, wanted=wanted, may_remove=may_remove)
        if bundle != found:
            body = {
                "apiVersion": _API_VERSION,
                "kind": "APIService",
                "metadata": {"name": NAME},
                "spec": {"caBundle": base64.b64encode(bundle).decode()},
            }
            query = {"fieldManager": BUNDLE_MANAGER, "force": "true"}
            await self._api.patch(_ADDRESS, msgspec.json.encode(body), content_type=APPLY, query=query)
