"""
Reads which certificates API servers trust for userquota, and has its authorities replaced; for `userquota certs`.

No replica is asked: what they have done shows in the caBundles.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from webhook.certificates.authority import Authority
from webhook.certificates.secret import NAME, StoredAuthorities, read_authorities, replace_authorities
from webhook.certificates.succession import Authorities, create_authorities, promote
from webhook.kube.api import ApiError, KubernetesApi, NotFoundError, ServerError, UnreachableError
from webhook.ports import Clock, WebhookError
from webhook.registration import RegistrationError, WebhookManifest, api_service, live, read_live_exemptions
from webhook.registration.bundles import certificates

_LOOK_SECONDS: Final = 2.0


class RotationError(WebhookError):
    """The authorities cannot be replaced. One line: why, and what to do."""


@dataclass(frozen=True, slots=True)
class TrustState:
    """The authorities that are stored, and the certificates, PEM each, in every caBundle, by what it belongs to."""

    stored: StoredAuthorities
    bundles: Mapping[str, frozenset[bytes]]

    def lacking(self, authority: Authority) -> tuple[str, ...]:
        """Return the webhooks, or the APIService, whose caBundle does not hold *authority*."""
        return tuple(name for name, held in self.bundles.items() if authority.certificate_pem not in held)

    @property
    def surplus(self) -> frozenset[bytes]:
        """Certificates in caBundles that are none of the stored authorities: retired ones, or those of others."""
        wanted = {each.certificate_pem for each in self.stored.authorities.all}
        return frozenset[bytes]().union(*self.bundles.values()) - wanted

    @property
    def is_settled(self) -> bool:
        """Whether every caBundle holds the stored authorities and nothing else."""
        return not self.surplus and not any(self.lacking(each) for each in self.stored.authorities.all)


class Rotation:
    """Looks at the authorities of the userquota in *namespace*, and stores others. *manifests* name its webhooks."""

    def __init__(
        self, api: KubernetesApi, namespace: str, *, clock: Clock, manifests: Sequence[WebhookManifest]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._manifests = manifests

    async def read(self) -> TrustState:
        """Return what is stored and trusted. Raises: RotationError, CertificateError, RegistrationError, ApiError."""
        secret = f"Secret {self._namespace}/{NAME}"
        try:
            stored = await read_authorities(self._api, namespace=self._namespace, now=self._clock.now())
        except NotFoundError as error:
            why = "userquota has not started yet, or serves certificates from files"
            raise RotationError(f"there is no {secret}: {why}") from error
        bundles: dict[str, frozenset[bytes]] = {}
        for manifest in self._manifests:
            found = await live.read(self._api, manifest)
            if found is None:
                raise RegistrationError(f"{manifest} is not in the cluster: apply the manifests")
            bundles |= {name: frozenset(certificates(each.ca_bundle)) for name, each in found.items()}
        for name in api_service.NAMES:
            bundle = await api_service.read_bundle(self._api, name)
            if bundle is not None:
                bundles[name] = frozenset(certificates(bundle))
        return TrustState(stored, bundles)

    async def replace_signing(self) -> None:
        """
        Have the authority that follows sign, and store a new one behind it.

        Raises: RotationError where it is not trusted everywhere, and what `read` raises.
        """
        state = await self.read()
        following = state.stored.authorities.following
        if following is None:
            raise RotationError("no authority follows the one that signs: wait for half a minute, a replica stores one")
        if lacking := state.lacking(following):
            names = ", ".join(lacking)
            raise RotationError(f"the authority that follows is not in the caBundle of {names}: wait until it is there")
        await self._write(state.stored, promote(state.stored.authorities, self._clock.now()))

    async def replace_both(self) -> None:
        """Store two new authorities, of which one signs as soon as it is trusted. Raises: what `read` raises."""
        state = await self.read()
        await self._write(state.stored, create_authorities(self._clock.now()))

    async def states(self, seconds: float) -> AsyncIterator[TrustState]:
        """
        Yield the state every two seconds until it is settled, that one as well.

        An API server that does not answer is asked again. Raises: RotationError after *seconds*; what `read` raises.
        """
        end = self._clock.monotonic() + seconds
        while True:
            try:
                state = await self.read()
            except (UnreachableError, ServerError):
                if self._clock.monotonic() > end:
                    raise
            else:
                yield state
                if state.is_settled:
                    return
                if self._clock.monotonic() > end:
                    raise RotationError(f"after {seconds:.0f} seconds a caBundle still holds others than the new ones")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _write(self, stored: StoredAuthorities, wanted: Authorities) -> None:
        if not await replace_authorities(self._api, replace(stored, authorities=wanted), namespace=self._namespace):
            raise RotationError(f"the Secret {self._namespace}/{NAME} has changed meanwhile: look at it, and try again")


@dataclass(slots=True)
class CallCount:
    """How many calls were made, why some failed, and the longest time in seconds without an answer."""

    made: int = 0
    failures: list[str] = field(default_factory=list)
    longest_gap: float = 0.0
    _answered_at: float | None = None

    def answered(self, at: float) -> None:
        """Record an answer; *at* is monotonic."""
        if self._answered_at is not None:
            self.longest_gap = max(self.longest_gap, at - self._answered_at)
        self._answered_at = at


@asynccontextmanager
async def calling(
    api: KubernetesApi, namespace: str, *, rate: float, manifests: Sequence[WebhookManifest]
) -> AsyncIterator[CallCount]:
    """
    Ask for the creation of a pod in *namespace*, as a dry run, *rate* times a second for as long as the block runs.

    A refusal is an answer, too. Raises: RotationError where nobody would be called.
    """
    if namespace in await read_live_exemptions(api, manifests):
        raise RotationError(f"namespace {namespace} is exempt, so that nobody is called for its pods: name another")
    count = CallCount()

    async def call() -> None:
        count.made += 1
        try:
            await api.create(f"/api/v1/namespaces/{namespace}/pods", _POD, query={"dryRun": "All"}, timeout=30)
        except (ServerError, UnreachableError) as error:
            count.failures.append(str(error))
            return
        except ApiError:  # refused, which is an answer
            pass
        count.answered(time.monotonic())

    async def call_on() -> None:
        async with asyncio.TaskGroup() as calls:
            while True:
                calls.create_task(call())
                await asyncio.sleep(1 / rate)

    caller = asyncio.create_task(call_on())
    try:
        yield count
    finally:
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)


_CONTAINER: Final = {"name": "none", "image": "none", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}
_POD: Final = msgspec.json.encode(
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "userquota-drill-"},
        "spec": {"containers": [_CONTAINER]},
    }
)
