"""
The wire: AdmissionReview v1 as JSON bytes to a frozen request, and an answer back to bytes.

Only fields that we use are decoded. What the answer should be is decided elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.quota.errors import WebhookError
from webhook.quota.message import Cause
from webhook.quota.objects import GroupVersionResource, ObjectKey, PatchOperation, UserInfo

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
_FAILURE = "Failure"

T = TypeVar("T")


class ReviewError(WebhookError):
    """A body that is no AdmissionReview we can read. `uid` is that of the request, empty if not even that is there."""

    def __init__(self, message: str, uid: str = "") -> None:
        """Keep the uid, so that a proper denial can be sent if there is one."""
        self.uid = uid
        super().__init__(message)


class Wire(Struct, frozen=True, rename="camel"):
    """A part of the review."""


class AdmissionRequest(Wire, frozen=True):
    """One request of the API server. `object` and `old_object` stay undecoded until their kind is known."""

    uid: str
    resource: GroupVersionResource
    operation: str
    user_info: UserInfo
    sub_resource: str | None = None
    namespace: str = ""
    name: str = ""
    object: Raw = Raw()
    old_object: Raw = Raw()
    dry_run: bool | None = None

    def decode(self, shape: type[T]) -> T:
        """Give the object as *shape*. Raises: ReviewError naming the field that does not fit, or that it is missing."""
        return self._decode(self.object, shape, "request.object")

    def decode_old(self, shape: type[T]) -> T:
        """Give the object before the change as *shape*. Raises: ReviewError."""
        return self._decode(self.old_object, shape, "request.oldObject")

    def _decode(self, raw: Raw, shape: type[T], field: str) -> T:
        if len(memoryview(raw)) <= 4 and bytes(raw) in (b"", b"null"):
            raise ReviewError(f"{field} is missing", self.uid)
        try:
            return msgspec.json.decode(raw, type=shape)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ReviewError(f"{field} cannot be read: {error}", self.uid) from error


class _Envelope(Wire, frozen=True):
    api_version: str = ""
    kind: str = ""
    request: AdmissionRequest | None = None


class _OnlyUid(Wire, frozen=True):
    uid: str = ""


class _EnvelopeOfUid(Wire, frozen=True):
    request: _OnlyUid | None = None


_decoder = msgspec.json.Decoder(_Envelope)
_uid_decoder = msgspec.json.Decoder(_EnvelopeOfUid)


def decode(body: bytes) -> AdmissionRequest:
    """Give the request in *body*. Raises: ReviewError for anything but an AdmissionReview v1 with a request."""
    try:
        envelope = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ReviewError(f"the body is no AdmissionReview: {error}", _uid_of(body)) from error
    if envelope.api_version != API_VERSION or envelope.kind != KIND:
        given = f"{envelope.api_version or 'no apiVersion'}, {envelope.kind or 'no kind'}"
        raise ReviewError(f"expected {API_VERSION}, {KIND}; got {given}", _uid_of(body))
    if envelope.request is None or not envelope.request.uid:
        raise ReviewError("request or request.uid is missing")
    request = envelope.request
    if request.operation not in _OPERATIONS:  # what we do not know must not pass as something that is not ours
        raise ReviewError(f"request.operation is none of {', '.join(_OPERATIONS)}", request.uid)
    if not request.resource.resource:
        raise ReviewError("request.resource.resource is missing", request.uid)
    return request


def _uid_of(body: bytes) -> str:
    try:
        envelope = _uid_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    return envelope.request.uid if envelope.request else ""


class _Cause(Wire, frozen=True):
    reason: str
    message: str
    field: str


class _Details(Wire, frozen=True):
    causes: tuple[_Cause, ...]


class _Status(Wire, frozen=True, omit_defaults=True):
    status: str
    code: int
    reason: str
    message: str
    details: _Details | None = None


class AdmissionResponse(Wire, frozen=True, omit_defaults=True):
    """An answer. Made by `allowed`, `denied`, `failed` or `patched`, never by hand."""

    uid: str
    allowed: bool
    status: _Status | None = None
    patch: str | None = None
    patch_type: str | None = None
    warnings: tuple[str, ...] = ()
    audit_annotations: Mapping[str, str] = {}


def allowed(uid: str, *, warnings: Iterable[str] = (), audit: Mapping[str, str] | None = None) -> AdmissionResponse:
    """Let the request pass."""
    return AdmissionResponse(uid, allowed=True, warnings=tuple(warnings), audit_annotations=audit or {})


def denied(
    uid: str, message: str, *, causes: Iterable[Cause] = (), audit: Mapping[str, str] | None = None
) -> AdmissionResponse:
    """Refuse the request for good. Not for trouble of our own: a caller does not try again after this."""
    told = tuple(_Cause(each.reason, each.message, each.field) for each in causes)
    status = _Status(_FAILURE, 403, "Forbidden", message, details=_Details(told) if told else None)
    return AdmissionResponse(uid, allowed=False, status=status, audit_annotations=audit or {})


def already_exists(uid: str, key: ObjectKey) -> AdmissionResponse:
    """Answer as the API server does for a name that is taken: clients tell this from a refusal by reason and code."""
    message = f'{key.resource} "{key.name}" already exists'
    return AdmissionResponse(uid, allowed=False, status=_Status(_FAILURE, 409, "AlreadyExists", message))


def failed(uid: str, message: str) -> AdmissionResponse:
    """Refuse because of a bug of ours: an answer that stays a refusal even where failures are ignored."""
    return AdmissionResponse(uid, allowed=False, status=_Status(_FAILURE, 500, "InternalError", message))


def patched(uid: str, operations: Iterable[PatchOperation]) -> AdmissionResponse:
    """Let the request pass with changes; without changes it is a plain pass."""
    steps = [{"op": "add", "path": each.path, "value": each.value} for each in operations]
    if not steps:
        return allowed(uid)
    patch = base64.b64encode(msgspec.json.encode(steps)).decode("ascii")
    return AdmissionResponse(uid, allowed=True, patch=patch, patch_type="JSONPatch")


class _HttpStatus(Wire, frozen=True):
    code: int
    reason: str
    message: str
    status: str = _FAILURE
    api_version: str = "v1"
    kind: str = "Status"


class _Answer(Wire, frozen=True):
    response: AdmissionResponse
    api_version: str = API_VERSION
    kind: str = KIND


_encoder = msgspec.json.Encoder()


def encode(response: AdmissionResponse) -> bytes:
    """Give the answer as the API server reads it."""
    return _encoder.encode(_Answer(response))


def error_status(code: int, reason: str, message: str) -> bytes:
    """
    Return the body of an HTTP error *code*, which says why there is no answer.

    The API server passes on the message of a `Status`; of any other text it only says that the webhook cannot answer.
    """
    return _encoder.encode(_HttpStatus(code, reason, message))
