"""
The version of what a broker is told, kept where programs write the policy: all replicas tell the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from webhook.documents.kept_policy import KeptPolicyError, KeptPolicyStore, PolicyRefusedError
from webhook.liquid.info import next_version
from webhook.ports import Clock, UnavailableError

DIGEST: Final = "liquid.userquota.dev/info-digest"
VERSION: Final = "liquid.userquota.dev/info-version"
_TRIES: Final = 5
"""Each failure means that another one has written, most likely the same."""

_MOST_DIGITS: Final = 18
"""More do not fit into the 64 bits that the protocol has."""


class StoredVersions:
    """Port `InfoVersions`, over two annotations of the stored policy."""

    def __init__(self, store: KeptPolicyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def version_of(self, digest: str) -> int:
        """Return the version of the info that has this *digest*, and store it if it is new. See `InfoVersions`."""
        try:
            for _ in range(_TRIES):
                stored = await self._store.read()
                version = _number(stored.annotations)
                if version and stored.annotations.get(DIGEST) == digest:
                    return version
                version = next_version(version, self._clock.now())
                changed = {DIGEST: digest, VERSION: str(version)}
                if await self._store.write(stored.content, after=stored, annotations=changed):
                    return version
        except (KeptPolicyError, PolicyRefusedError) as error:
            raise UnavailableError("info-version", f"the version of the info cannot be stored: {error}") from error
        raise UnavailableError("info-version", "the version of the info cannot be stored: others write all the time")


def _number(annotations: Mapping[str, str]) -> int:
    written = annotations.get(VERSION, "")
    return int(written) if written.isascii() and written.isdecimal() and len(written) <= _MOST_DIGITS else 0
