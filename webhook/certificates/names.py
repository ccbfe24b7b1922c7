"""
The names that the API server calls the webhook by, and so the ones its certificate must carry.

Nothing here looks anything up.
"""

from __future__ import annotations

from urllib.parse import urlsplit

SERVICE = "userquota"


def called_as(namespace: str, *, advertise_url: str | None = None) -> str:
    """Give the one name that the API server checks: the host of *advertise_url*, else the Service's."""
    host = urlsplit(advertise_url).hostname if advertise_url is not None else None
    return host or f"{SERVICE}.{namespace}.svc"


def serving_names(namespace: str, *, advertise_url: str | None = None) -> tuple[str, ...]:
    """Give every name the webhook answers to, the one that the API server checks first."""
    service = f"{SERVICE}.{namespace}"
    names = (
        called_as(namespace, advertise_url=advertise_url),
        f"{service}.svc",
        f"{service}.svc.cluster.local",
        service,
    )
    return tuple(dict.fromkeys(names))
