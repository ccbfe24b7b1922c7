import json
from collections.abc import Mapping

import pytest

from webhook.kube.api import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeconfigError,
    NotFoundError,
    ServerError,
    TooManyRequestsError,
    UnauthorizedError,
    api_error,
)
from webhook.ports import WebhookError


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        pytest.param(UnauthorizedError, 401, "Unauthorized", id="401 is unauthorized"),
        pytest.param(ForbiddenError, 403, "Forbidden", id="403 is forbidden"),
        pytest.param(NotFoundError, 404, "NotFound", id="404 is not found"),
        pytest.param(ConflictError, 409, "Conflict", id="409 for another version is a conflict"),
        pytest.param(AlreadyExistsError, 409, "AlreadyExists", id="409 for a name that is taken is not"),
        pytest.param(GoneError, 410, "Expired", id="410 for an old version is gone"),
        pytest.param(GoneError, 410, "Gone", id="410 without more is gone"),
        pytest.param(InvalidError, 422, "Invalid", id="422 is invalid"),
        pytest.param(TooManyRequestsError, 429, "TooManyRequests", id="429 is too many requests"),
        pytest.param(ServerError, 500, "InternalError", id="500 is the server's"),
        pytest.param(ServerError, 504, "Timeout", id="504 is the server's"),
        pytest.param(ApiError, 400, "BadRequest", id="400 has no class of its own"),
        pytest.param(ApiError, 302, "", id="302 is no answer either"),
    ],
)
def test_each_answer_has_its_error(kind: type[ApiError], status: int, reason: str) -> None:
    body = json.dumps({"kind": "Status", "code": status, "reason": reason, "message": "so it is"})

    error = api_error(body.encode(), request="GET /x", status=status)

    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, reason, "so it is")
    assert str(error) == f"GET /x: {f'{status} {reason}'.strip()}: so it is"


def test_the_code_of_an_error_event_is_in_its_body() -> None:
    error = api_error(b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}', request="GET /x")

    assert isinstance(error, GoneError)
    assert error.status == 410


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>502 Bad Gateway</html>", id="a page"),
        pytest.param(b'{"message":"my secret","kind":"Pod"}', id="another object"),
        pytest.param(b'{"kind":"Status","message":7}', id="a message that is no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="bytes"),
    ],
)
def test_only_a_status_lends_its_message(body: bytes) -> None:
    error = api_error(body, request="GET /x", status=502)

    assert isinstance(error, ServerError)
    assert error.message == "the answer is no Kubernetes Status"


def test_a_long_message_is_cut() -> None:
    body = json.dumps({"kind": "Status", "message": "x" * 1000})

    assert api_error(body.encode(), request="GET /x", status=500).message == "x" * 256


@pytest.mark.parametrize(
    ("header", "details", "expected"),
    [
        pytest.param("7", {}, 7, id="from the header"),
        pytest.param("", {"retryAfterSeconds": 3}, 3, id="from the details"),
        pytest.param("7", {"retryAfterSeconds": 3}, 7, id="the header wins"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", {}, None, id="a date is not understood"),
        pytest.param("", {}, None, id="none named"),
    ],
)
def test_the_error_holds_the_time_to_retry_after(header: str, details: Mapping[str, int], expected: int | None) -> None:
    body = json.dumps({"kind": "Status", "details": details}).encode()

    assert api_error(body, request="GET /x", status=429, retry_after=header).retry_after == expected


def test_every_error_is_ours() -> None:
    assert issubclass(ApiError, WebhookError)
    assert issubclass(KubeconfigError, WebhookError)
