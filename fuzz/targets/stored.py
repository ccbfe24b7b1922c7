"""
What replicas keep in the cluster and others may edit: the ledger, the stamp, the copy of the policy.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator

import msgspec

from fuzz.target import Target, promise
from webhook.attribution.stamp import has_stamp, read_maker, read_stamp, stamp_for, stamping
from webhook.documents.policy_copy import PolicyCopyError, decode_copy, encode_copy
from webhook.kube.front_proxy import FrontProxyError, read_trust
from webhook.ledger.codec import LedgerDamagedError, NewerFormatError, read_ledger, write_ledger
from webhook.quota.objects import (
    GROUPS_ANNOTATION,
    MAKER_ANNOTATION,
    OWNER_ANNOTATION,
    Annotations,
    ObjectMeta,
    PatchOperation,
)
from webhook.quota.policy import Policy

_UID = "6b9c4c56-9a3e-4bd8-8c4b-6a2a3b7f0d11"
_MOST_FLIPS = 12


def check_ledger(data: bytes) -> None:
    """Check a text as it is, and sealed with the checksum that it would need."""
    text = data.decode(errors="surrogateescape")
    _read(text)
    body = text.encode(errors="surrogatepass")
    for form in (2, 3):
        sealed = f"userquota-ledger {form} sha256={hashlib.sha256(body).hexdigest()}\n{text}\n"
        _read(sealed)


def _read(text: str) -> None:
    try:
        ledger = read_ledger(text, uid=_UID)
    except (LedgerDamagedError, NewerFormatError) as error:
        promise(str(error), "an error without words")
        return
    written = write_ledger(ledger, uid=_UID)
    promise(read_ledger(written, uid=_UID) == ledger, "written and read")
    promise(write_ledger(read_ledger(written, uid=_UID), uid=_UID) == written, "written twice")
    for each in _flipped(written):
        try:
            promise(read_ledger(each, uid=_UID) == ledger, "a changed letter was not noticed", each)
        except (LedgerDamagedError, NewerFormatError):
            continue


def _flipped(text: str) -> Iterator[str]:
    """Yield the text with one letter changed, at some places."""
    for at in range(0, len(text), max(1, len(text) // _MOST_FLIPS)):
        yield text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]


def check_stamp(data: bytes) -> None:
    """Check the metadata of an object, and a new stamp on it."""
    try:
        meta = msgspec.json.decode(data, type=ObjectMeta)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return
    payer, maker = read_stamp(meta), read_maker(meta)
    if payer is None:
        return
    stamp = stamp_for(payer, Policy())
    stamped = _patched(meta, stamping(meta, stamp, maker))
    promise(has_stamp(stamped, stamp, maker), "stamped")
    promise(read_stamp(stamped) == stamp and read_maker(stamped) == maker, "read again", stamp)
    promise(not list(stamping(stamped, stamp, maker)), "stamped twice")


def _patched(meta: ObjectMeta, steps: Iterator[PatchOperation]) -> ObjectMeta:
    """Return *meta* with the annotations that *steps* write; they end in names of ours only."""
    old = meta.annotations or Annotations()
    texts = {OWNER_ANNOTATION: old.owner, GROUPS_ANNOTATION: old.groups, MAKER_ANNOTATION: old.maker}
    for step in steps:
        name = step.path.removeprefix("/metadata/annotations/").replace("~1", "/")
        promise(name in texts and (step.value is None or isinstance(step.value, str)), "path", step.path)
        texts[name] = step.value if isinstance(step.value, str) else None
    owner, groups, maker = texts.values()
    return msgspec.structs.replace(
        meta, annotations=msgspec.structs.replace(old, owner=owner, groups=groups, maker=maker)
    )


def check_copy(data: bytes) -> None:
    """Check the copy of a policy, as it is and compressed."""
    for content in (data, gzip.compress(data, mtime=0)):
        try:
            copied = decode_copy(content)
        except PolicyCopyError as error:
            promise(str(error), "an error without words")
            continue
        try:
            encoded = encode_copy(copied.texts, version=copied.version)
        except UnicodeEncodeError:  # half of a surrogate pair, which no text of a ConfigMap has
            continue
        again = decode_copy(encoded)
        promise(again.version == copied.version and set(again.texts) == set(copied.texts), "copied")


def check_trust(data: bytes) -> None:
    """Check the ConfigMap that says who may pass requests on."""
    try:
        found = msgspec.json.decode(data, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return
    try:
        trust = read_trust(found)
    except FrontProxyError as error:
        promise(str(error), "an error without words")
    else:
        promise(trust.user and trust.client_ca.strip(), "trust in nobody")


TARGETS = (
    Target(
        "ledger",
        "`ledger/codec.py`",
        "what is written is read as the same; a changed letter is noticed",
        check_ledger,
    ),
    Target(
        "stamp",
        "`attribution/stamp.py`",
        "what is stamped is read as the same, and not stamped again; only our annotations change",
        check_stamp,
    ),
    Target("policy-copy", "`documents/policy_copy.py`", "what is copied is read as the same", check_copy),
    Target("front-proxy", "`kube/front_proxy.py`", "nobody is trusted without a certificate and a header", check_trust),
)
