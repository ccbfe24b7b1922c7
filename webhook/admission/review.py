"""
The wire format: decodes AdmissionReview v1 from JSON into a frozen request, and encodes the response.

Only used fields are decoded. `handler` decides on the response.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.quota.errors import UNREADABLE, WebhookError
from webhook.quota.message import Cause
from webhook.quota.objects import GroupVersionResource, ObjectKey, PatchOperation, UserInfo

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
_FAILURE = "Failure"

_OURS: Final = {503: "not-ready", 500: "failed"}
"""Verdicts of refusals that are no answer to the request, by code."""

T = TypeVar("T")


class ReviewError(WebhookError):
    """The body is not a valid AdmissionReview. `uid` is the uid of the request, empty if it could not be read."""

    def __init__(self, message: str, uid: str = "") -> None:
        """Record the *uid*, so that a denial can be sent if there is one."""
        self.uid = uid
        super().__init__(message)


class Wire(Struct, frozen=True, rename="camel"):
    """A part of an AdmissionReview."""


class RequestOptions(Wire, frozen=True):
    """The parts of CreateOptions, UpdateOptions and PatchOptions that are read."""

    field_manager: str = ""


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
    options: RequestOptions | None = None

    @property
    def field_manager(self) -> str:
        """The name under which the client manages fields; empty for none."""
        return "" if self.options is None else self.options.field_manager

    def version(self, of_old: str) -> int:
        """Return the `resourceVersion` *of_old*, the object before the change, as a number. Raises: ReviewError."""
        if not (of_old.isascii() and of_old.isdecimal()):
            raise ReviewError("request.oldObject.metadata.resourceVersion is not a number", self.uid)
        return int(of_old)

    def decode(self, shape: type[T]) -> T:
        """Return the object as *shape*. Raises: ReviewError naming the field that is missing or does not fit."""
        return self._decode(self.object, shape, "request.object")

    def decode_old(self, shape: type[T]) -> T:
        """Return the object before the change, decoded as *shape*. Raises: ReviewError."""
        return self._decode(self.old_object, shape, "request.oldObject")

    def _decode(self, raw: Raw, shape: type[T], field: str) -> T:
        if len(memoryview(raw)) <= 4 and bytes(raw) in (b"", b"null"):
            raise ReviewError(f"{field} is missing", self.uid)
        try:
            return msgspec.json.decode(raw, type=shape)
        except UNREADABLE as error:
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
    """Return the request in *body*. Raises: ReviewError unless it is an AdmissionReview v1 with a request."""
    try:
        envelope = _decoder.decode(body)
    except UNREADABLE as error:
        raise ReviewError(f"the body is no AdmissionReview: {error}", _uid_of(body)) from error
    if envelope.api_version != API_VERSION or envelope.kind != KIND:
        given = f"{envelope.api_version or 'no apiVersion'}, {envelope.kind or 'no kind'}"
        raise ReviewError(f"expected {API_VERSION}, {KIND}; got {given}", _uid_of(body))
    if envelope.request is None or not envelope.request.uid:
        raise ReviewError("request or request.uid is missing")
    request = envelope.request
    if request.operation not in _OPERATIONS:  # an unknown operation must not be allowed as one that is not charged
        raise ReviewError(f"request.operation is none of {', '.join(_OPERATIONS)}", request.uid)
    if not request.resource.resource:
        raise ReviewError("request.resource.resource is missing", request.uid)
    return request


def _uid_of(body: bytes) -> str:
    try:
        envelope = _uid_decoder.decode(body)
    except UNREADABLE:
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
    """A response. Built only by the functions below."""

    uid: str
    allowed: bool
    status: _Status | None = None
    patch: str | None = None
    patch_type: str | None = None
    warnings: tuple[str, ...] = ()
    audit_annotations: Mapping[str, str] = {}

    @property
    def verdict(self) -> str:
        """
        Return it in one word, for metrics.

        `tolerated`: limits were exceeded that do not refuse, by their mode or for who asked. `exempted`: limits were
        exceeded that do not bind the object. `not-ready` and `failed`: a refusal for a trouble
        of ours, see `not_now` and `failed`.
        """
        if not self.allowed:
            return _OURS.get(self.status.code, "denied") if self.status else "denied"
        if "tolerated" not in self.audit_annotations:
            return "allowed"
        return "exempted" if "exempt" in self.audit_annotations else "tolerated"


def allowed(uid: str, *, warnings: Iterable[str] = (), audit: Mapping[str, str] | None = None) -> AdmissionResponse:
    """Return a response that allows the request."""
    return AdmissionResponse(uid, allowed=True, warnings=tuple(warnings), audit_annotations=audit or {})


def denied(
    uid: str, message: str, *, causes: Iterable[Cause] = (), audit: Mapping[str, str] | None = None
) -> AdmissionResponse:
    """Return a final denial. Not for internal errors: clients do not retry after this."""
    listed = tuple(_Cause(each.reason, each.message, each.field) for each in causes)
    status = _Status(_FAILURE, 403, "Forbidden", message, details=_Details(listed) if listed else None)
    return AdmissionResponse(uid, allowed=False, status=status, audit_annotations=audit or {})


def already_exists(uid: str, key: ObjectKey) -> AdmissionResponse:
    """Return the API server's response for a taken name; clients recognize it by its reason and code."""
    message = f'{key.resource} "{key.name}" already exists'
    return AdmissionResponse(uid, allowed=False, status=_Status(_FAILURE, 409, "AlreadyExists", message))


def conflict(uid: str, message: str) -> AdmissionResponse:
    """Return a denial that a later try may not get: clients and controllers try again, as after other conflicts."""
    return AdmissionResponse(uid, allowed=False, status=_Status(_FAILURE, 409, "Conflict", message))


def not_now(uid: str, message: str) -> AdmissionResponse:
    """Return a denial that a later try may not get, for webhooks whose failed calls the API server ignores."""
    return AdmissionResponse(uid, allowed=False, status=_Status(_FAILURE, 503, "ServiceUnavailable", message))


def failed(uid: str, message: str) -> AdmissionResponse:
    """Return a denial because of a bug in the webhook; it denies even with failurePolicy Ignore."""
    return AdmissionResponse(uid, allowed=False, status=_Status(_FAILURE, 500, "InternalError", message))


def patched(uid: str, operations: Iterable[PatchOperation], *, warnings: Iterable[str] = ()) -> AdmissionResponse:
    """Return a response that allows the request with *operations*, or without a patch if there are none."""
    steps = [
        {"op": "remove", "path": each.path}
        if each.value is None
        else {"op": "add", "path": each.path, "value": each.value}
        for each in operations
    ]
    if not steps:
        return allowed(uid, warnings=warnings)
    patch = base64.b64encode(msgspec.json.encode(steps)).decode("ascii")
    return AdmissionResponse(uid, allowed=True, patch=patch, patch_type="JSONPatch", warnings=tuple(warnings))


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
    """Return the AdmissionReview with *response* as JSON."""
    return _encoder.encode(_Answer(response))


def error_status(code: int, reason: str, message: str) -> bytes:
    """
    Return the body of an HTTP error *code* with the reason for the missing response.

    The API server passes on the message of a `Status`; for any other body it reports only that the webhook failed.
    """
    return _encoder.encode(_HttpStatus(code, reason, message))
