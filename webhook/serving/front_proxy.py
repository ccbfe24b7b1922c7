"""
Who asks, of a request that an API server passes on: the headers of a connection with its certificate, and of no other.
"""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import structlog

from webhook.ports import Caller, FrontProxyTrust
from webhook.serving.callers import ClientVerifier, Proof

log = structlog.get_logger(__name__)


class FrontProxy:
    """
    Believes headers on connections with a certificate of the API servers' front proxy. Belongs to one event loop.

    As the API servers' own library does it: the certificate is verified against the authority that they publish, its
    common name has to be one that they publish, and only then a header is looked at.
    """

    def __init__(self, verifier: ClientVerifier) -> None:
        """Have *verifier*, which no one else uses, verify certificates from the first `trust` on."""
        self._verifier = verifier
        self._trust: FrontProxyTrust | None = None
        self._client_ca = b""

    def trust(self, published: FrontProxyTrust | None) -> None:
        """Believe from now on what is *published*; None believes nobody."""
        if published is not None and published.client_ca != self._client_ca:
            try:
                self._verifier.trust_clients(published.client_ca)
            except ValueError as error:
                log.warning("no API server can pass requests on", reason=f"requestheader-client-ca-file: {error}")
                published = None
            else:
                self._client_ca = published.client_ca
        self._trust = published

    @property
    def is_known(self) -> bool:
        """Whether it is known how an API server proves itself."""
        return self._trust is not None

    def caller(self, connection: ssl.SSLObject | None, headers: Iterable[tuple[str, str]]) -> Caller | Proof:
        """Return who asks by *headers* that came on *connection*, or why nobody is believed: MISSING or OUTDATED."""
        trust = self._trust
        if connection is None or trust is None:
            return Proof.MISSING
        if not self._verifier.has_verified(connection):
            return Proof.OUTDATED
        # Present means verified: a handshake with a certificate that does not verify is broken off.
        certificate = connection.getpeercert()
        if not certificate or (trust.names and trust.names.isdisjoint(_common_names(certificate))):
            return Proof.MISSING
        return _caller(trust, headers) or Proof.MISSING


def _caller(trust: FrontProxyTrust, headers: Iterable[tuple[str, str]]) -> Caller | None:
    """Return whom *headers* name; None if they name nobody, or not in UTF-8."""
    given: defaultdict[str, list[str]] = defaultdict(list)
    for header, value in headers:
        given[header.lower()].append(value)
    if not all(map(_is_utf8, given)) or not all(_is_utf8(value) for values in given.values() for value in values):
        return None
    extra = {
        unquote(header[len(prefix) :]): tuple(values)
        for prefix in map(str.lower, trust.extra)
        for header, values in given.items()
        if header.startswith(prefix)
    }
    name, uid = (next(filter(None, _values(names, given)), "") for names in (trust.user, trust.uid))
    return Caller(name, tuple(_values(trust.groups, given)), uid, extra) if name else None


def _values(names: Iterable[str], given: Mapping[str, Sequence[str]]) -> list[str]:
    return [value for name in names for value in given.get(name.lower(), ())]


def _is_utf8(text: str) -> bool:
    """Whether a header's text came as UTF-8: other bytes are kept as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _common_names(certificate: Mapping[str, Any]) -> set[str]:
    """Return the common names of a certificate as `ssl` shows it."""
    attributes: Sequence[tuple[str, str]] = [each for rdn in certificate.get("subject", ()) for each in rdn]
    return {value for key, value in attributes if key == "commonName"}
