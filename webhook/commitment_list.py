"""
Fetches a list of commitments by HTTPS from the system that keeps them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from webhook import __version__
from webhook.quota.errors import WebhookError

MOST_BYTES: Final = 8 << 20
"""Bytes of an answer: the ConfigMap with all commitments holds one MiB."""

SECONDS: Final = 30.0
"""For one answer, from the connection to its last byte."""

_PIECE: Final = 1 << 16
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)
_TROUBLE: Final = (aiohttp.ClientError, HttpProcessingError, OSError)  # a TimeoutError is an OSError


class CommitmentListError(WebhookError):
    """A list that cannot be fetched. One line: from where, and why; the token is never in it."""


class CommitmentList:
    """
    The list at an address, for one task.

    Who asks shows the token in *token_file*, and takes an answer only from a server with a certificate of the
    authorities in *ca_file*, of those of the machine without it. Both files are read again for each request: they are
    replaced while we run.
    """

    def __init__(
        self,
        address: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        most_bytes: int = MOST_BYTES,
        seconds: float = SECONDS,
    ) -> None:
        """Fetch from *address*. Raises: CommitmentListError if it is none of HTTPS, or has a password in it."""
        try:
            self._url = URL(address)
        except ValueError as error:
            raise CommitmentListError("expected https://HOST/PATH") from error
        if self._url.scheme != "https" or not self._url.host or self._url.user or self._url.password:
            raise CommitmentListError("expected https://HOST/PATH, without a user: a token is read from a file")
        self.name = str(self._url.with_query(None).with_fragment(None))
        """The address without what may be a secret."""
        self._token_file = token_file
        self._ca_file = ca_file
        self._most_bytes = most_bytes
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._known: tuple[str, str] | None = None

    async def read(self) -> str:
        """
        Return the list as text; as it was read before if the server says that it is the same.

        Raises: CommitmentListError.
        """
        headers = await asyncio.to_thread(self._authorization)
        tls = await asyncio.to_thread(self._tls)
        if self._known is not None:
            headers["If-None-Match"] = self._known[0]
        try:
            return await self._fetched(headers, tls)
        except TimeoutError as error:
            raise self._error(f"no answer within {self._timeout.total:g} seconds") from error
        except _TROUBLE as error:
            raise self._error(str(error) or type(error).__name__) from error

    async def _fetched(self, headers: dict[str, str], tls: ssl.SSLContext) -> str:
        asked = {"User-Agent": f"userquota/{__version__}", "Accept-Encoding": "identity", **headers}
        async with (
            aiohttp.ClientSession(
                timeout=self._timeout,
                headers=asked,
                connector=aiohttp.TCPConnector(ssl=tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            ) as session,
            # Whoever is named by a redirect is not who the token is for.
            session.get(self._url, allow_redirects=False) as answer,
        ):
            if answer.status == HTTPStatus.NOT_MODIFIED and self._known is not None:
                return self._known[1]
            if answer.status != HTTPStatus.OK:
                raise self._error(f"it answers {answer.status}")
            text = await self._text_of(answer)
        etag = answer.headers.get("ETag", "")
        self._known = (etag, text) if etag else None
        return text

    async def _text_of(self, answer: aiohttp.ClientResponse) -> str:
        content = bytearray()
        async for piece in answer.content.iter_chunked(_PIECE):
            content += piece
            if len(content) > self._most_bytes:
                raise self._error(f"it answers with more than {self._most_bytes} bytes")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise self._error(f"its answer is not UTF-8 at byte {error.start}") from error

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
            raise CommitmentListError(f"{self._token_file}: {why}") from error
        if not _TOKEN.fullmatch(token):
            raise CommitmentListError(f"{self._token_file}: expected one token, without spaces")
        return {"Authorization": f"Bearer {token}"}

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except ssl.SSLError as error:
            raise CommitmentListError(f"{self._ca_file}: no certificates in it") from error
        except OSError as error:
            raise CommitmentListError(f"{self._ca_file}: {error.strerror}") from error

    def _error(self, why: str) -> CommitmentListError:
        return CommitmentListError(f"{self.name}: {why}")
