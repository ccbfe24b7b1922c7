"""
Reads the audit logs of the API servers that clients talked to, and keeps what the judge needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from nemesis.records import PODS, Audited, AuditedEdit

_MARK = "validate.userquota.dev/"
"""A part of the names of the audit annotations of our answers, allowed or refused."""


_EDITED = "configmaps"
_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/"
"""The beginning of the annotations that API servers add for each webhook that did not answer and was ignored."""


def audited(logs: Iterable[tuple[int, Path]]) -> Iterator[Audited]:
    """Return every write of what is charged in the *logs*, each with the number of its API server."""
    for server, path in logs:
        with path.open("rb") as file:
            for line in file:
                told = _understood(server, line)
                if told is not None:
                    yield told


def audited_edits(log: Path) -> Iterator[AuditedEdit]:
    """Return every edit of the policy in a log."""
    with log.open("rb") as file:
        for line in file:
            said: dict[str, Any] = msgspec.json.decode(line)
            if said.get("objectRef", {}).get("resource") == _EDITED:
                is_unjudged = any(key.startswith(_FAILED_OPEN) for key in said.get("annotations", {}))
                yield AuditedEdit(said.get("userAgent", ""), said.get("responseStatus", {}).get("code", 0), is_unjudged)


def _understood(server: int, line: bytes) -> Audited | None:
    try:
        said: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.DecodeError:  # the API server was killed while it wrote this line
        return None
    where, answer = said.get("objectRef", {}), said.get("responseStatus", {})
    if where.get("resource") == _EDITED:
        return None
    return Audited(
        server,
        said["verb"],
        said["user"]["username"],
        where.get("namespace", ""),
        where.get("name", ""),
        answer.get("code", 0),
        where.get("subresource", ""),
        "dryRun=All" in said["requestURI"],
        any(_MARK in key for key in said.get("annotations", {})),
        answer.get("message", "") if answer.get("code", 0) >= 500 else "",
        ".".join(filter(None, (where.get("resource", PODS), where.get("apiGroup", "")))),
    )
