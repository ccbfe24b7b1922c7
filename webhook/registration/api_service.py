"""
The caBundles of the APIServices by which API servers pass on what is asked of our API groups.

They are installed by others; one that is not there is left out.
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
LIQUID: Final = "v1.liquid.userquota.dev"
NAMES: Final = (NAME, LIQUID)
_API_VERSION: Final = "apiregistration.k8s.io/v1"
_ADDRESS: Final = f"/apis/{_API_VERSION}/apiservices"


class _Spec(msgspec.Struct, frozen=True):
    ca_bundle: bytes | None = msgspec.field(name="caBundle", default=None)  # base64, which msgspec decodes


class _ApiService(msgspec.Struct, frozen=True):
    spec: _Spec


async def read_bundle(api: KubernetesApi, name: str = NAME) -> bytes | None:
    """
    Return the caBundle, PEM, None where the APIService *name* is not installed.

    Raises: ApiError; RegistrationError when the answer of the API server cannot be read.
    """
    try:
        return msgspec.json.decode(await api.get(f"{_ADDRESS}/{name}"), type=_ApiService).spec.ca_bundle or b""
    except NotFoundError:
        return None
    except UNREADABLE as error:
        raise RegistrationError(f"APIService {name}: the API server's answer cannot be read: {error}") from error


class ApiServiceBundle:
    """Keeps the certificates that this replica wants in each caBundle, see ``Overlap``. Belongs to one event loop."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        names: Sequence[str] = (NAME,),
        monotonic: Callable[[], float] = time.monotonic,
        overlap_seconds: float = OVERLAP_SECONDS,
    ) -> None:
        self._api = api
        self._overlaps = {name: Overlap(monotonic, seconds=overlap_seconds) for name in names}

    async def ensure(self, wanted: Sequence[bytes], *, may_remove: bool) -> None:
        """
        Put *wanted* into each caBundle; with *may_remove* leave out what was there for too long beyond it.

        Raises: ApiError; RegistrationError when the answer of the API server cannot be read.
        """
        for name, overlap in self._overlaps.items():
            found = await read_bundle(self._api, name)
            if found is not None:
                await self._ensure(name, overlap, found, wanted, may_remove=may_remove)

    async def _ensure(
        self, name: str, overlap: Overlap, found: bytes, wanted: Sequence[bytes], *, may_remove: bool
    ) -> None:
        overlap.observe([found] if certificates(found) else [], wanted=wanted)
        bundle = overlap.merge(found, wanted=wanted, may_remove=may_remove)
        if bundle != found:
            body = {
                "apiVersion": _API_VERSION,
                "kind": "APIService",
                "metadata": {"name": name},
                "spec": {"caBundle": base64.b64encode(bundle).decode()},
            }
            query = {"fieldManager": BUNDLE_MANAGER, "force": "true"}
            await self._api.patch(f"{_ADDRESS}/{name}", msgspec.json.encode(body), content_type=APPLY, query=query)
