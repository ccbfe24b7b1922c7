"""
Errors of requests to the Kubernetes API server, one class for each answer that a caller treats differently.

The caller decides whether to retry, and whether an error is what it expected.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from webhook.ports import WebhookError

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""
What msgspec raises for an answer that is no JSON, no UTF-8, another object, or nested beyond the 1 000 levels that it
follows: an API server stores custom resources of 10 000, and lists their fields once more in their metadata.
"""

_MESSAGE_LIMIT: Final = 256


class KubeconfigError(WebhookError):
    """The API server's address or our credentials cannot be read; one line that says why and what to do."""


class NotInClusterError(KubeconfigError):
    """This is no pod, and no kubeconfig was named."""


class ApiError(WebhookError):
    """
    The API server refused a request, or was not reached (``status`` 0).

    ``reason`` and ``message`` are those of the answered ``Status``, the message cut at 256 characters, and ``whole`` is
    all of it; ``request`` is method and path; ``retry_after`` is in seconds, None where the server named none.
    """

    def __init__(
        self, message: str, *, request: str, status: int = 0, reason: str = "", retry_after: int | None = None
    ) -> None:
        self.message = message[:_MESSAGE_LIMIT]
        self.whole = message
        self.request = request
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(": ".join(filter(None, (request, f"{status or ''} {reason}".strip(), self.message))))


class UnauthorizedError(ApiError):
    """401: the token or client certificate is refused, and loading it again did not help."""


class ForbiddenError(ApiError):
    """403: a right is missing, or admission refused."""


class NotFoundError(ApiError):
    """404: no such object, or no such resource."""


class ConflictError(ApiError):
    """409: the object has another resourceVersion. Our own request may have written it: see ``replace``."""


class AlreadyExistsError(ApiError):
    """409: the name is taken."""


class GoneError(ApiError):
    """410: the resourceVersion or the continue token is older than what the server remembers."""


class InvalidError(ApiError):
    """422: the object or the options are not valid."""


class TooManyRequestsError(ApiError):
    """429: the server limits its load."""


class ServerError(ApiError):
    """5xx: the server, or its etcd, has failed."""


class UnreachableError(ApiError):
    """No complete answer: connection, TLS, HTTP or time-out. The request may or may not have taken effect."""


class NoConnectionError(UnreachableError):
    """Nothing listens at the address, or nothing with a certificate that we trust. Nothing was sent."""


class SilenceError(UnreachableError):
    """An open watch sent nothing for longer than allowed."""


_BY_REASON: Final[Mapping[str, type[ApiError]]] = {
    "AlreadyExists": AlreadyExistsError,
    "Expired": GoneError,
    "Gone": GoneError,
}
_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
    429: TooManyRequestsError,
}


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: int = 0


class _Status(msgspec.Struct):
    kind: str
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


def api_error(body: bytes | msgspec.Raw, *, request: str, status: int = 0, retry_after: str = "") -> ApiError:
    """
    Return the error for a failed answer, or for the object of a watch's ERROR event.

    *status* is HTTP's, 0 for an event; *retry_after* is the header's text. A body that is no ``Status``, such as a
    balancer's page, is left out of the message.
    """
    try:
        answer = msgspec.json.decode(body, type=_Status)
    except UNREADABLE:
        answer = _Status(kind="")
    if answer.kind != "Status":
        answer = _Status(kind="", message="the answer is no Kubernetes Status")
    code = status or answer.code
    kind = _BY_REASON.get(answer.reason) or _BY_STATUS.get(code) or (ServerError if code >= 500 else ApiError)
    seconds = answer.details.retry_after_seconds if answer.details else 0
    if retry_after.isdecimal():
        seconds = int(retry_after)
    return kind(answer.message, request=request, status=code, reason=answer.reason, retry_after=seconds or None)
