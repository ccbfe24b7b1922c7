"""LIQUID in HTTP: who may call, what is an error of which status, and that all of them are plain text."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.liquid.scenes import request
from tests.serving.client_certificates import ClientAuthority
from tests.serving.test_view_server import ADMIN, ALICE, NAME, Answer, Rights, Stage
from webhook.certificates import self_signed
from webhook.liquid.info import OutdatedError
from webhook.liquid.projects import UnknownProjectError
from webhook.liquid.requests import CommitmentRequest, MalformedError
from webhook.ports import UnavailableError
from webhook.serving.liquid_server import LiquidServer
from webhook.wiring.application import SystemClock

BASE = "/apis/liquid.userquota.dev/v1"
ZONES = b'{"allAZs": ["a", "b"]}'
QUOTAS = b'{"resources": {"h100_gpu": {"quota": 8}}}'
CALLS: Mapping[str, tuple[str, str, bytes | None]] = {
    "info": ("GET", f"{BASE}/info", None),
    "report-capacity": ("POST", f"{BASE}/report-capacity", ZONES),
    "change-commitments": ("POST", f"{BASE}/change-commitments", request()),
    "projects/report-usage": ("POST", f"{BASE}/projects/p-1/report-usage", ZONES),
    "projects/quota": ("PUT", f"{BASE}/projects/p-1/quota", QUOTAS),
}
RIGHTS = {
    "info": ("list", ""),
    "report-capacity": ("create", ""),
    "change-commitments": ("create", ""),
    "projects/report-usage": ("create", "p-1"),
    "projects/quota": ("update", "p-1"),
}


@dataclass
class Broker:
    """Says what it was asked for; raises `error` if there is one."""

    error: Exception | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)
    rejected: str = ""

    def _note(self, *asked: object) -> Mapping[str, object]:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return {"infoVersion": 7}

    async def info(self) -> Mapping[str, object]:
        return self._note("info")

    async def capacity(self, zones: Sequence[str]) -> Mapping[str, object]:
        return self._note("capacity", zones)

    async def usage(self, project: str, zones: Sequence[str]) -> Mapping[str, object]:
        return self._note("usage", project, zones)

    async def change(self, request: CommitmentRequest) -> Mapping[str, object]:
        self._note("change", request.zone, [each.uuid for _, _, each in request.every()])
        return {"rejectionReason": self.rejected} if self.rejected else {}

    async def set_quotas(self, project: str, quotas: Mapping[str, int]) -> None:
        self._note("quotas", project, quotas)


class LiquidStage(Stage):
    def __post_init__(self) -> None:
        self.broker = Broker()
        self.others = self._others
        super().__post_init__()

    def _others(self, rights: Rights) -> Sequence[LiquidServer]:
        return [LiquidServer(self.broker, rights)]

    async def call(
        self, what: str, headers: Mapping[str, str] = ADMIN, *, body: bytes | None = None, shown: Any = ""
    ) -> Answer:
        method, path, usual = CALLS[what]
        return await self.do(method, path, headers, body=usual if body is None else body, shown=shown)

    async def do(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] = ADMIN,
        *,
        body: bytes | None = None,
        shown: Any = "",
    ) -> Answer:
        pem = self.authority.sign(NAME) if shown == "" else shown
        data = None if body is None else io.BytesIO(body)
        async with (
            self.client(pem) as session,
            session.request(method, path, headers=headers, data=data) as response,
        ):
            return Answer(response, await response.read())


@pytest.fixture(scope="module")
def authority() -> ClientAuthority:
    return ClientAuthority("front proxy")


@pytest.fixture
async def stage(authority: ClientAuthority, tmp_path: Path) -> AsyncIterator[LiquidStage]:
    stage = LiquidStage(self_signed(("localhost", "127.0.0.1"), SystemClock()), authority, tmp_path)
    stage.front_proxy.trust(stage.published())
    stage.port = await stage.server.start("127.0.0.1", 0, stage.live.context)
    yield stage
    await stage.server.close()


def is_plain(answer: Answer) -> bool:
    return answer.headers["Content-Type"] == "text/plain; charset=utf-8" and b"Status" not in answer.body


async def test_each_call_is_answered_as_liquid_has_it(stage: LiquidStage) -> None:
    answers = {what: await stage.call(what) for what in CALLS}

    assert {what: each.status for what, each in answers.items()} == {**dict.fromkeys(CALLS, 200), "projects/quota": 204}
    assert answers["projects/quota"].body == b""
    assert answers["change-commitments"].json == {}
    assert answers["info"].json == {"infoVersion": 7}
    assert answers["info"].headers["Content-Type"] == "application/json"
    assert stage.broker.asked == [
        ("info",),
        ("capacity", ("a", "b")),
        ("change", "a", ["2f4b7f06-51d5-4ca4-8f3f-6a5ef58b7f01"]),
        ("usage", "p-1", ("a", "b")),
        ("quotas", "p-1", {"h100_gpu": 8}),
    ]


@pytest.mark.parametrize("what", CALLS)
async def test_every_call_takes_a_right_of_its_own(stage: LiquidStage, what: str) -> None:
    refused = await stage.call(what, ALICE)

    verb, name = RIGHTS[what]
    assert stage.rights.asked == [("alice", verb, f"{what}.liquid.userquota.dev", "", name)]
    assert (refused.status, is_plain(refused)) == (403, True)
    assert refused.body == f"you may not {verb} {what}.liquid.userquota.dev, see docs/liquid.md\n".encode()
    assert stage.broker.asked == []


@pytest.mark.parametrize("what", CALLS)
async def test_nobody_is_believed_without_the_certificate_of_an_api_server(stage: LiquidStage, what: str) -> None:
    refused = await stage.call(what, shown=None)

    assert (refused.status, is_plain(refused)) == (401, True)
    assert (stage.broker.asked, stage.rights.asked) == ([], [])


MALFORMED = {
    "capacity": ("report-capacity", b"{}", b"Object missing required field `allAZs`\n"),
    "usage": ("projects/report-usage", b'{"allAZs": [""]}', b"allAZs[0]: expected the name of a zone\n"),
    "changes": ("change-commitments", request(az=""), b"az: expected the name of a zone\n"),
    "quotas": ("projects/quota", b"", b"no JSON: Expecting value: line 1 column 1 (char 0)\n"),
}


@pytest.mark.parametrize(("what", "body", "told"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_malformed_is_400_with_the_field(stage: LiquidStage, what: str, body: bytes, told: bytes) -> None:
    answer = await stage.call(what, body=body)

    assert (answer.status, is_plain(answer), answer.body) == (400, True, told)
    assert stage.broker.asked == []


ERRORS = {
    "a resource that is not offered": (MalformedError("resources['x']", "there is no such resource"), 400),
    "a project that is no tenant": (UnknownProjectError("p-1"), 404),
    "another version": (OutdatedError(6, 7), 409),
    "what is not known yet": (UnavailableError("nodes", "the nodes are not all known yet"), 503),
}


@pytest.mark.parametrize(("error", "status"), ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("what", CALLS)
async def test_errors_are_plain_text_with_their_status(
    stage: LiquidStage, what: str, error: Exception, status: int
) -> None:
    stage.broker.error = error

    answer = await stage.call(what)

    assert (answer.status, is_plain(answer), answer.body) == (status, True, f"{error}\n".encode())
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)
    assert stage.errors == (["liquid-nodes"] if status == 503 else [])


async def test_a_defect_says_nothing(stage: LiquidStage) -> None:
    stage.broker.error = RuntimeError("tenant/other uses 7")

    answer = await stage.call("info")

    assert (answer.status, is_plain(answer), answer.body) == (500, True, b"internal error of userquota, see its log\n")
    assert stage.errors == ["liquid-internal"]


WRONG = {
    "another method": ("GET", f"{BASE}/change-commitments", 405),
    "another method on quotas": ("POST", f"{BASE}/projects/p-1/quota", 405),
    "no such path": ("GET", f"{BASE}/projects/p-1", 404),
    "another version": ("GET", "/apis/liquid.userquota.dev/v2/info", 404),
    "a project with a slash": ("POST", f"{BASE}/projects/a/b/report-usage", 404),
}


@pytest.mark.parametrize(("method", "path", "status"), WRONG.values(), ids=WRONG.keys())
async def test_other_paths_and_methods_are_plain_text_too(
    stage: LiquidStage, method: str, path: str, status: int
) -> None:
    answer = await stage.do(method, path, body=b"{}" if method == "POST" else None)

    assert (answer.status, is_plain(answer)) == (status, True)
    assert stage.broker.asked == []


async def test_a_large_body_is_413(stage: LiquidStage) -> None:
    body = b'{"allAZs": ["' + b"x" * (1 << 20) + b'"]}'

    answer = await stage.call("report-capacity", body=body)

    assert (answer.status, is_plain(answer)) == (413, True)


async def test_errors_of_the_view_stay_as_they_are(stage: LiquidStage) -> None:
    for path in ("/apis/liquid.userquota.development/v1/info", "/apis/view.userquota.dev/v1alpha1/none"):
        answer = await stage.do("GET", path)

        assert (answer.status, answer.json["kind"]) == (404, "Status")


async def test_api_servers_find_the_group_beside_the_view(stage: LiquidStage) -> None:
    groups = (await stage.ask("/apis", ADMIN)).json["groups"]
    group = (await stage.ask("/apis/liquid.userquota.dev", ADMIN)).json
    resources = (await stage.ask(BASE, ADMIN)).json

    assert [each["name"] for each in groups] == ["view.userquota.dev", "liquid.userquota.dev"]
    assert group == groups[1]
    assert group["preferredVersion"] == {"groupVersion": "liquid.userquota.dev/v1", "version": "v1"}
    assert {each["name"]: each["verbs"] for each in resources["resources"]} == {
        what: [verb] for what, (verb, _) in RIGHTS.items()
    }


async def test_without_it_there_is_no_such_group(authority: ClientAuthority, tmp_path: Path) -> None:
    stage = Stage(self_signed(("localhost", "127.0.0.1"), SystemClock()), authority, tmp_path)
    stage.front_proxy.trust(stage.published())
    stage.port = await stage.server.start("127.0.0.1", 0, stage.live.context)
    answers = [await stage.ask(path, ADMIN) for path in (f"{BASE}/info", "/apis/liquid.userquota.dev", "/apis")]
    await stage.server.close()

    assert [each.status for each in answers] == [404, 404, 200]
    assert [each["name"] for each in answers[2].json["groups"]] == ["view.userquota.dev"]


@pytest.mark.parametrize("given", ["req-1", "!" * 128])
async def test_the_id_of_a_request_is_in_its_log_and_its_answer(stage: LiquidStage, given: str) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = await stage.call("projects/quota", {**ADMIN, "X-Request-ID": given})

    assert answer.headers["X-Request-ID"] == given
    [line] = [each for each in lines if each["event"] == "quotas of a project"]
    assert (line["request_id"], line["caller"], line["quotas"]) == (given, "admin", {"h100_gpu": 8})


@pytest.mark.parametrize("given", [None, "", "with space", "x" * 129, "\u00fc"])
async def test_an_id_of_another_form_is_replaced(stage: LiquidStage, given: str | None) -> None:
    answers = [
        await stage.call(what, ADMIN if given is None else {**ADMIN, "X-Request-ID": given}, shown=shown)
        for what, shown in (("info", ""), ("info", None))
    ]

    ids = [each.headers["X-Request-ID"] for each in answers]
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
    assert ids[0] != ids[1]


async def test_a_refusal_of_changes_is_200_and_logged(stage: LiquidStage) -> None:
    stage.broker.rejected = "h100 in a: 4 are free"

    with capture_logs() as lines:
        answer = await stage.call("change-commitments", body=request(dryRun=True))

    assert (answer.status, answer.json) == (200, {"rejectionReason": "h100 in a: 4 are free"})
    [line] = [each for each in lines if each["event"] == "changes of commitments"]
    assert (line["dry_run"], line["number"], line["rejected"]) == (True, 1, "h100 in a: 4 are free")


async def test_one_connection_serves_both_groups(stage: LiquidStage) -> None:
    async with stage.client(stage.authority.sign(NAME)) as session:
        for path in (f"{BASE}/info", "/apis/view.userquota.dev/v1alpha1/quotas", f"{BASE}/info"):
            async with session.get(path, headers=ADMIN) as response:
                assert response.status == 200
    assert stage.errors == []
