"""
The version of the API server.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi, UnreachableError
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape

_PATH = "/version"
_NUMBER = re.compile(r"[0-9]+", re.ASCII)


class UnreachedError(UnavailableError):
    """No API server answers at all."""


class ServerVersion(NamedTuple):
    """The version in two numbers, and as the API server writes it: `v1.37.2`, `v1.30.4-gke.1348000`."""

    major: int
    minor: int
    text: str


class _Version(Shape, frozen=True):
    major: str = ""
    minor: str = ""
    git_version: str = ""


_decoder = msgspec.json.Decoder(_Version)


async def read_version(api: KubernetesApi) -> ServerVersion:
    """Return the version of the API server that answers. Raises: UnreachedError, UnavailableError."""
    try:
        found = _decoder.decode(await api.get(_PATH))
    except UnreachableError as error:
        raise UnreachedError("api-server", f"the API server could not be asked: {error}") from error
    except (ApiError, *UNREADABLE) as error:
        raise UnavailableError("api-server", f"the version could not be read: {error}") from error
    major, minor = _NUMBER.match(found.major), _NUMBER.match(found.minor)  # some clouds write a minor of `30+`
    if major is None or minor is None:
        raise UnavailableError("api-server", f"the version could not be read: {found.major!r}, {found.minor!r}")
    return ServerVersion(int(major[0]), int(minor[0]), found.git_version)
