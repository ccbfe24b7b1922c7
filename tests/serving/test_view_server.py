"""Who is believed on the port of the view, who sees what, and that errors say nothing of others."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.serving.client_certificates import SERVER, ClientAuthority, Pem
from webhook.admission.manifests import TooManyError
from webhook.admission.review import ReviewError
from webhook.certificates import ServingIdentity, self_signed
from webhook.certificates.signed import SignedIdentity
from webhook.documents.object_text import RawObject
from webhook.ports import Caller, FrontProxyTrust, UnavailableError
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Subject
from webhook.serving.api_group import ApiGroup
from webhook.serving.front_proxy import FrontProxy
from webhook.serving.view_server import ViewServer
from webhook.view import wire
from webhook.view.allocations import Allocation, Page, Selection, State, Sum, UnknownResourceError, UnknownTagError
from webhook.view.label_selector import Term
from webhook.wiring.application import SystemClock

ALLOCATION = Allocation(
    ObjectKey("pods", "red", "a"), "u-1", "bob", 1_764_374_400, State.USED, (("pods", NANOS),), (), ("carol",)
)
TEAM_ML = (Term("team", frozenset({"ml"})), Term("app", None, is_excluded=True))
BASE = "/apis/view.userquota.dev/v1alpha1"
ALICE = {"X-Remote-User": "alice", "X-Remote-Group": "ml"}
ADMIN = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
NAME = "front-proxy-client"


@dataclass
class Source:
    """Says what it was asked for; raises `error` if there is one."""

    error: Exception | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    def _note(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    async def pools(self) -> Sequence[wire.Json]:
        self._note("pools")
        return [{"kind": "Pool"}]

    async def commitments(self) -> Sequence[wire.Json]:
        self._note("commitments")
        return [{"kind": "Commitment"}]

    async def commitment(self, name: str) -> wire.Json | None:
        self._note("commitment", name)
        return {"kind": "Commitment"} if name == "c-1" else None

    async def own(self, caller: Caller, namespace: str) -> wire.Json:
        self._note("own", caller, namespace)
        return {"kind": "SelfQuota", "status": {"user": caller.name}}

    async def check(self, caller: Caller, namespace: str, objects: Sequence[RawObject]) -> wire.Json:
        self._note("check", caller, namespace, [(each.kind, each.name) for each in objects])
        return {"kind": "QuotaCheck"}

    async def all(self) -> list[wire.Json]:
        self._note("all")
        return [{"kind": "Quota"}]

    async def one(self, whom: Subject) -> wire.Json | None:
        self._note("one", whom)
        return {"kind": "Quota", "spec": {"subject": whom}} if whom != "user/nobody" else None

    async def holders(self, resource: str, whom: Subject | None, limit: int) -> list[wire.Json]:
        self._note("holders", resource, whom, limit)
        return [{"kind": "Holder"}]

    async def allocations(self, selection: Selection, limit: int, after: ObjectKey | None) -> Page:
        self._note("allocations", selection, limit, after)
        if selection.resource == "pod":
            raise UnknownResourceError(["pods", "jobs.batch"])
        return Page((ALLOCATION,), (Sum("pods", NANOS, 0),), None)


@dataclass
class Rights:
    """Administrators may do everything, alice makes pods in red."""

    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def may(self, caller: Caller, verb: str, resource: str, *, namespace: str = "", name: str = "") -> bool:
        self.asked.append((caller.name, verb, resource, namespace, name))
        if "system:masters" in caller.groups:
            return True
        given = {
            ("alice", "create", "pods", "red", ""),
            ("lead", "get", "quotas.view.userquota.dev", "", "group:ml"),
            ("lead", "list", "allocations.view.userquota.dev", "red", ""),
        }
        return self.asked[-1] in given


class Answer:
    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Stage:
    identity: ServingIdentity
    authority: ClientAuthority
    folder: Path
    port: int = 0
    others: Callable[[Rights], Sequence[ApiGroup]] = lambda _: ()

    def __post_init__(self) -> None:
        self.source, self.rights = Source(), Rights()
        self.live = self.identity.for_another_port()
        self.front_proxy = FrontProxy(self.live)
        self.errors: list[str] = []
        others = self.others(self.rights)
        self.server = ViewServer(self.source, self.front_proxy, self.rights, self, others=others)

    def count_error(self, reason: str) -> None:
        self.errors.append(reason)

    def published(self, authority: ClientAuthority | None = None, **changes: object) -> FrontProxyTrust:
        fields: dict[str, Any] = {
            "client_ca": (authority or self.authority).pem,
            "names": frozenset({NAME}),
            "user": ("X-Remote-User",),
            "groups": ("X-Remote-Group",),
            "extra": ("X-Remote-Extra-",),
            "uid": ("X-Remote-Uid",),
        }
        return FrontProxyTrust(**{**fields, **changes})

    @asynccontextmanager
    async def client(self, shown: Pem | None) -> AsyncIterator[aiohttp.ClientSession]:
        tls = ssl.create_default_context(cadata=self.identity.ca_bundle.decode())
        if shown is not None:
            shown.into(tls, self.folder)
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(f"https://127.0.0.1:{self.port}", connector=connector) as session:
            yield session

    async def ask(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        shown: Pem | str | None = "",
    ) -> Answer:
        """Ask as an API server does, or show another certificate, or None."""
        pem = self.authority.sign(NAME) if isinstance(shown, str) else shown
        async with self.client(pem) as session:
            return await asked(session, path, headers, body)


async def asked(
    session: aiohttp.ClientSession, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    method = "GET" if body is None else "POST"
    data = None if body is None else io.BytesIO(body)
    async with session.request(method, path, headers=headers or {}, data=data) as response:
        return Answer(response, await response.read())


@pytest.fixture(scope="module")
def authority() -> ClientAuthority:
    return ClientAuthority("front proxy")


@pytest.fixture
async def stage(authority: ClientAuthority, tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(self_signed(("localhost", "127.0.0.1"), SystemClock()), authority, tmp_path)
    stage.front_proxy.trust(stage.published())
    stage.port = await stage.server.start("127.0.0.1", 0, stage.live.context)
    yield stage
    await stage.server.close()


PATHS = (
    *("/apis", "/apis/view.userquota.dev", BASE, f"{BASE}/quotas", f"{BASE}/holders", f"{BASE}/allocations"),
    *(f"{BASE}/namespaces/red/allocations", f"{BASE}/pools", f"{BASE}/commitments", "/openapi/v2", "/whatever"),
)


@pytest.mark.parametrize("path", PATHS)
async def test_headers_without_a_certificate_are_believed_by_no_path(stage: Stage, path: str) -> None:
    answer = await stage.ask(path, ADMIN, shown=None)

    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")
    assert (stage.source.asked, stage.rights.asked) == ([], [])
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("resource", ["selfquotas", "selfallocations"])
async def test_what_is_ones_own_is_refused_without_a_certificate(stage: Stage, resource: str) -> None:
    assert (await stage.ask(f"{BASE}/{resource}", ALICE, body=b"{}", shown=None)).status == 401
    assert stage.source.asked == []


STRANGERS = {
    "of another authority": lambda _: ClientAuthority("front proxy").sign(NAME),
    "for servers": lambda authority: authority.sign(NAME, purpose=SERVER),
    "that has expired": lambda authority: authority.sign(NAME, days=-1),
}


@pytest.mark.parametrize("sign", STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_certificate_that_does_not_verify_gets_no_connection(
    stage: Stage, authority: ClientAuthority, sign: Any
) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await stage.ask(BASE, ADMIN, shown=sign(authority))


@pytest.mark.parametrize("others", [(), (NAME,)], ids=["its common name", "though another of its names is right"])
async def test_a_certificate_of_the_authority_with_another_common_name_is_refused(
    stage: Stage, authority: ClientAuthority, others: tuple[str, ...]
) -> None:
    """Where the authority signs users' certificates as well, any of them could name anybody."""
    assert (await stage.ask(f"{BASE}/quotas", ADMIN, shown=authority.sign("bob", others=others))).status == 401


async def test_where_no_name_is_published_every_certificate_of_the_authority_will_do(
    stage: Stage, authority: ClientAuthority
) -> None:
    stage.front_proxy.trust(stage.published(names=frozenset()))

    assert (await stage.ask(BASE, ADMIN, shown=authority.sign("whatever"))).status == 200


async def test_the_identity_is_that_of_the_headers(stage: Stage) -> None:
    headers = [
        ("X-Remote-User", "j\u00fcrgen"),
        ("X-Remote-Group", "ml"),
        ("X-Remote-Group", "system:authenticated"),
        ("X-Remote-Uid", "u-1"),
        ("X-Remote-Extra-Scopes", "a"),
        ("X-Remote-Extra-Scopes", "b"),
        ("X-Remote-Extra-Example.com%2fkey", "c"),
        ("Impersonate-User", "admin"),
    ]
    async with (
        stage.client(stage.authority.sign(NAME)) as session,
        session.post(f"{BASE}/selfquotas", headers=headers, data=b"{}") as response,
    ):
        assert response.status == 201

    [(_, caller, namespace)] = stage.source.asked
    extra = {"scopes": ("a", "b"), "example.com/key": ("c",)}
    assert caller == Caller("j\u00fcrgen", ("ml", "system:authenticated"), "u-1", extra)
    assert namespace == ""


@pytest.mark.parametrize(
    "headers", [{}, {"X-Remote-User": ""}, {"X-Remote-Group": "system:masters"}, {"X-Other-User": "admin"}]
)
async def test_an_api_server_that_names_nobody_is_refused(stage: Stage, headers: Mapping[str, str]) -> None:
    assert (await stage.ask(f"{BASE}/quotas", headers)).status == 401
    assert stage.errors == ["view-unauthenticated"]


async def test_header_names_are_those_that_are_published(stage: Stage) -> None:
    stage.front_proxy.trust(stage.published(user=("X-Other-User",), groups=("X-Other-Group",)))

    assert (await stage.ask(f"{BASE}/quotas", ADMIN)).status == 401
    assert (await stage.ask(f"{BASE}/quotas", {"X-Other-User": "a", "X-Other-Group": "system:masters"})).status == 200


async def test_until_it_is_known_how_an_api_server_proves_itself_nobody_is_believed(
    authority: ClientAuthority, tmp_path: Path
) -> None:
    stage = Stage(self_signed(("127.0.0.1",), SystemClock()), authority, tmp_path)
    stage.port = await stage.server.start("127.0.0.1", 0, stage.live.context)
    answers = [await stage.ask(f"{BASE}/quotas", ADMIN, shown=shown) for shown in (None, authority.sign(NAME))]
    await stage.server.close()

    assert [each.status for each in answers] == [503, 503]
    assert stage.errors == ["view-front-proxy", "view-front-proxy"]
    assert stage.source.asked == []


@pytest.mark.parametrize("bad", [None, b"no certificate"], ids=["nothing", "no certificate"])
async def test_when_what_is_published_goes_nobody_is_believed_any_more(stage: Stage, bad: bytes | None) -> None:
    async with stage.client(stage.authority.sign(NAME)) as session:
        assert (await asked(session, f"{BASE}/quotas", ADMIN)).status == 200
        stage.front_proxy.trust(None if bad is None else stage.published(client_ca=bad))
        assert (await asked(session, f"{BASE}/quotas", ADMIN)).status == 503

    stage.front_proxy.trust(stage.published())
    assert (await stage.ask(f"{BASE}/quotas", ADMIN)).status == 200


async def test_after_a_change_of_the_authority_the_old_certificate_is_believed_on_no_connection(stage: Stage) -> None:
    other = ClientAuthority("front proxy")
    async with stage.client(stage.authority.sign(NAME)) as session:
        assert (await asked(session, f"{BASE}/quotas", ADMIN)).status == 200
        stage.front_proxy.trust(stage.published(other))
        first = await asked(session, f"{BASE}/quotas", ADMIN)
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked(session, f"{BASE}/quotas", ADMIN)

    assert (first.status, first.headers["Connection"]) == (503, "close")
    assert (await stage.ask(f"{BASE}/quotas", ADMIN, shown=other.sign(NAME))).status == 200


async def test_a_new_serving_certificate_is_served_here_too_and_the_trust_stays(stage: Stage) -> None:
    identity = stage.identity
    assert isinstance(identity, SignedIdentity)
    identity._serve(identity._sign(identity._issuer))

    tls = ssl.create_default_context(cadata=identity.ca_bundle.decode())
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port, ssl=tls)
    served = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()

    assert served == identity._leaf.certificate.public_bytes(Encoding.DER)
    assert (await stage.ask(BASE, ADMIN)).status == 200


# Who sees what.


async def test_everybody_sees_their_own(stage: Stage) -> None:
    answer = await stage.ask(f"{BASE}/selfquotas", ALICE, body=b'{"spec": null}')

    assert (answer.status, answer.json["status"]["user"]) == (201, "alice")
    assert stage.rights.asked == []


async def test_the_limits_of_a_namespace_are_told_to_those_who_may_make_pods_there(stage: Stage) -> None:
    answers = [
        await stage.ask(f"{BASE}/selfquotas", ALICE, body=json.dumps({"spec": {"namespace": name}}).encode())
        for name in ("red", "secret", "not-there")
    ]

    assert [each.status for each in answers] == [201, 403, 403]
    assert [each[2] for each in stage.source.asked] == ["red"]
    assert "secret" in answers[1].json["message"]
    told, of_nothing = (each.json["message"] for each in answers[1:])
    assert told == of_nothing.replace("not-there", "secret")


def check(*objects: object, **spec: object) -> bytes:
    return json.dumps({"spec": {"objects": objects, **spec}}).encode()


async def test_everybody_may_have_objects_checked(stage: Stage) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"}}
    answer = await stage.ask(f"{BASE}/quotachecks", ALICE, body=check(pod, namespace="red"))

    assert (answer.status, answer.json) == (201, {"kind": "QuotaCheck"})
    [(_, caller, namespace, objects)] = stage.source.asked
    assert (caller, namespace, objects) == (Caller("alice", ("ml",)), "red", [("Pod", "p-")])
    assert (await stage.ask(f"{BASE}/quotachecks", ALICE, body=check(pod), shown=None)).status == 401


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "no QuotaCheck: Object missing required field `spec`"),
        (check(1), "spec.objects[0]: Expected `object`, got `int`"),
        (check({"kind": "Pod"}), "spec.objects[0]: Object missing required field `apiVersion`"),
        (b" " * (1 << 20) + b"{}", "Request Entity Too Large"),
    ],
)
async def test_what_is_no_list_of_objects_is_refused(stage: Stage, body: bytes, said: str) -> None:
    answer = await stage.ask(f"{BASE}/quotachecks", ALICE, body=body)

    assert answer.status in (400, 413)
    assert answer.json["message"].startswith(said)
    assert stage.source.asked == []


@pytest.mark.parametrize("error", [TooManyError("251 objects"), ReviewError("no uid", "")])
async def test_what_cannot_be_checked_is_told(stage: Stage, error: Exception) -> None:
    stage.source.error = error
    answer = await stage.ask(f"{BASE}/quotachecks", ALICE, body=check())

    assert (answer.status, answer.json["message"]) == (400, str(error))


SELECTOR = quote(r"spec.subject==group/ml,status.owner=a\,b,status.resource=jobs.batch,metadata.namespace=red")
SEEN = {
    "all": (f"{BASE}/quotas", ("list", "quotas", ""), ("all",)),
    "one by a selector": (
        f"{BASE}/quotas?fieldSelector=spec.subject%3Duser%2Fbob",
        ("list", "quotas", ""),
        ("one", "user/bob"),
    ),
    "one by name": (f"{BASE}/quotas/user:a~2Fb", ("get", "quotas", "user:a~2Fb"), ("one", "user/a/b")),
    "holders": (
        f"{BASE}/holders?sortBy=memory&limit=7&fieldSelector=spec.subject%3Dgroup%2Fml",
        ("list", "holders", ""),
        ("holders", "requests.memory", "group/ml", 7),
    ),
    "pools of nodes": (f"{BASE}/pools", ("list", "pools", ""), ("pools",)),
    "commitments": (f"{BASE}/commitments", ("list", "commitments", ""), ("commitments",)),
    "one commitment": (f"{BASE}/commitments/c-1", ("get", "commitments", "c-1"), ("commitment", "c-1")),
    "holders by age": (f"{BASE}/holders?sortBy=age", ("list", "holders", ""), ("holders", "age", None, 50)),
    "holders by default": (f"{BASE}/holders", ("list", "holders", ""), ("holders", "requests.cpu", None, 50)),
    "allocations": (f"{BASE}/allocations", ("list", "allocations", ""), ("allocations", Selection(), 500, None)),
    "allocations of a selection": (
        f"{BASE}/allocations?limit=7&continue=pods/red/a&fieldSelector={SELECTOR}",
        ("list", "allocations", ""),
        (
            "allocations",
            Selection(Subject("group/ml"), "a,b", "red", "jobs.batch"),
            7,
            ObjectKey("pods", "red", "a"),
        ),
    ),
    "allocations by tags": (
        f"{BASE}/allocations?labelSelector=team%3Dml,%21app",
        ("list", "allocations", ""),
        ("allocations", Selection(terms=TEAM_ML), 500, None),
    ),
}


@pytest.mark.parametrize(("path", "right", "made"), SEEN.values(), ids=SEEN.keys())
async def test_what_is_of_others_is_seen_by_those_with_the_right_alone(
    stage: Stage, path: str, right: tuple[str, str, str], made: tuple[object, ...]
) -> None:
    refused = await stage.ask(path, ALICE)
    assert (refused.status, refused.json["reason"], stage.source.asked) == (403, "Forbidden", [])

    seen = await stage.ask(path, ADMIN)

    assert (seen.status, seen.headers["Cache-Control"]) == (200, "no-store")
    assert stage.source.asked == [made]
    verb, resource, name = right
    assert stage.rights.asked[-1] == ("admin", verb, f"{resource}.view.userquota.dev", "", name)


async def test_the_right_may_be_given_for_one_subject(stage: Stage) -> None:
    lead = {"X-Remote-User": "lead"}

    assert (await stage.ask(f"{BASE}/quotas/group:ml", lead)).json["spec"] == {"subject": "group/ml"}
    assert (await stage.ask(f"{BASE}/quotas/group:other", lead)).status == 403
    assert (await stage.ask(f"{BASE}/quotas", lead)).status == 403


async def test_the_right_to_allocations_may_be_given_for_one_namespace(stage: Stage) -> None:
    lead = {"X-Remote-User": "lead"}

    answer = await stage.ask(f"{BASE}/namespaces/red/allocations?limit=0", lead)
    assert (answer.status, stage.source.asked) == (200, [("allocations", Selection(namespace="red"), 500, None)])
    refusals = [await stage.ask(f"{BASE}/{path}", lead) for path in ("namespaces/blue/allocations", "allocations")]
    assert [each.status for each in refusals] == [403, 403]
    assert refusals[0].json["message"] == (
        "you may not list allocations.view.userquota.dev in namespace blue, see manifests/README.md"
    )
    assert len(stage.source.asked) == 1


async def test_everybody_sees_allocations_of_their_own(stage: Stage) -> None:
    spec = {
        "namespace": "red",
        "resource": "pods",
        "selector": "team=ml,!app",
        "limit": 3,
        "continue": "pods/red/a",
    }
    bodies = [b"{}", b'{"spec": null}', json.dumps({"spec": spec}).encode()]
    answers = [await stage.ask(f"{BASE}/selfallocations", ALICE, body=body) for body in bodies]

    assert [each.status for each in answers] == [201, 201, 201]
    assert [each.headers["Cache-Control"] for each in answers] == ["no-store"] * 3
    assert stage.rights.asked == []
    assert stage.source.asked == [
        *[("allocations", Selection(owner="alice"), 500, None)] * 2,
        (
            "allocations",
            Selection(owner="alice", namespace="red", resource="pods", terms=TEAM_ML),
            3,
            ObjectKey("pods", "red", "a"),
        ),
    ]
    assert (answers[0].json["spec"], answers[2].json["spec"]) == ({}, spec)
    assert answers[0].json["status"]["user"] == "alice"
    assert [each["name"] for each in answers[0].json["status"]["allocations"]] == ["a"]


async def test_kubectl_is_given_the_table_that_it_prints(stage: Stage) -> None:
    accepted = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1,application/json"
    table = (await stage.ask(f"{BASE}/allocations", {**ADMIN, "Accept": accepted})).json
    plain = [
        (await stage.ask(f"{BASE}/allocations", {**ADMIN, "Accept": each})).json["kind"]
        for each in ("application/json", "application/json,application/json;as=Table;v=v1;g=meta.k8s.io", "*/*")
    ]

    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    names = [each["name"] for each in table["columnDefinitions"]]
    assert dict(zip(names, table["rows"][0]["cells"], strict=True)) == {
        "Name": "pods:a",
        "Owner": "bob,carol",
        "State": "used",
        "Committed": "pods=1",
        "Reserved": "-",
        "Created At": "2025-11-29T00:00:00Z",
        "Tags": "-",
    }
    assert [each["name"] for each in table["columnDefinitions"] if each["priority"]] == ["Tags"]
    assert table["rows"][0]["object"]["metadata"]["namespace"] == "red"
    assert plain == ["AllocationList"] * 3


async def test_a_resource_that_is_not_counted_is_told_with_those_that_are(stage: Stage) -> None:
    answers = [
        await stage.ask(f"{BASE}/allocations?fieldSelector=status.resource%3Dpod", ADMIN),
        await stage.ask(f"{BASE}/selfallocations", ALICE, body=b'{"spec": {"resource": "pod"}}'),
    ]

    told = "resource: objects of this one are not counted, expected one of jobs.batch, pods"
    assert [(each.status, each.json["message"]) for each in answers] == [(400, told)] * 2


async def test_a_label_that_is_no_tag_is_told_with_those_that_are(stage: Stage) -> None:
    stage.source.error = UnknownTagError("app", ["team", "cost-center"])
    answers = [
        await stage.ask(f"{BASE}/allocations?labelSelector=app", ADMIN),
        await stage.ask(f"{BASE}/selfallocations", ALICE, body=b'{"spec": {"selector": "app"}}'),
    ]

    told = "selector: app is no tag; the policy names team, cost-center, see docs/view.md#tags"
    assert [(each.status, each.json["message"]) for each in answers] == [(400, told)] * 2


async def test_a_subject_that_is_not_there_is_not_told_from_others_without_the_right(stage: Stage) -> None:
    assert (await stage.ask(f"{BASE}/quotas/user:nobody", ADMIN)).status == 404
    refusals = [await stage.ask(f"{BASE}/quotas/user:{name}", ALICE) for name in ("nobody", "bob")]
    assert refusals[0].body == refusals[1].body


async def test_what_is_not_known_yet_is_503_with_its_reason(stage: Stage) -> None:
    stage.source.error = UnavailableError("not-synced", "the pods are not all known yet")

    answer = await stage.ask(f"{BASE}/selfquotas", ALICE, body=b"{}")

    assert (answer.status, answer.json["message"]) == (503, "the pods are not all known yet")
    assert answer.headers["Retry-After"] == "1"
    assert stage.errors == ["view-not-synced"]


async def test_a_defect_says_nothing(stage: Stage) -> None:
    stage.source.error = RuntimeError("user/bob uses 7")

    answer = await stage.ask(f"{BASE}/selfquotas", ALICE, body=b"{}")

    assert answer.status == 500
    assert (answer.json["kind"], answer.json["message"]) == ("Status", "internal error of userquota, see its log")
    assert b"bob" not in answer.body
    assert stage.errors == ["view-internal"]


WRONG = {
    "no JSON": (f"{BASE}/selfquotas", b"{", 400),
    "no UTF-8": (f"{BASE}/selfquotas", b'{"spec": {"namespace": "\xff"}}', 400),
    "nested without end": (f"{BASE}/selfquotas", b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    "a check that is nested without end": (f"{BASE}/quotachecks", b'{"spec": ' + b"[" * 5000, 400),
    "a namespace that is no text": (f"{BASE}/selfquotas", b'{"spec": {"namespace": 7}}', 400),
    "too large": (f"{BASE}/selfquotas", b'{"x": "' + b"x" * (1 << 20) + b'"}', 413),
    "another selector": (f"{BASE}/quotas?fieldSelector=metadata.name%3Dx", None, 400),
    "no resource": (f"{BASE}/holders?sortBy=cpus", None, 400),
    "too many": (f"{BASE}/holders?limit=100000", None, 400),
    "none": (f"{BASE}/holders?limit=0", None, 400),
    "a number without end": (f"{BASE}/holders?limit={'1' * 5000}", None, 400),
    "too many allocations": (f"{BASE}/allocations?limit=501", None, 400),
    "another field": (f"{BASE}/allocations?fieldSelector=status.state%3Dused", None, 400),
    "a field twice": (f"{BASE}/allocations?fieldSelector=status.owner%3Da,status.owner%3Db", None, 400),
    "a field without a value": (f"{BASE}/allocations?fieldSelector=status.owner%3D", None, 400),
    "all but one": (f"{BASE}/allocations?fieldSelector=status.owner%21%3Da", None, 400),
    "two namespaces": (f"{BASE}/namespaces/red/allocations?fieldSelector=metadata.namespace%3Dblue", None, 400),
    "labels": (f"{BASE}/allocations?labelSelector=app%3Dx%3Dy", None, 400),
    "labels of ones own": (f"{BASE}/selfallocations", b'{"spec": {"selector": "app in x"}}', 400),
    "labels as a structure": (f"{BASE}/selfallocations", b'{"spec": {"selector": {"app": "x"}}}', 400),
    "a watch": (f"{BASE}/allocations?watch=true", None, 400),
    "a page behind nothing": (f"{BASE}/allocations?continue=pods", None, 400),
    "allocations that are no JSON": (f"{BASE}/selfallocations", b"{", 400),
    "less than no allocations": (f"{BASE}/selfallocations", b'{"spec": {"limit": -1}}', 400),
    "more allocations than there may be": (f"{BASE}/selfallocations", b'{"spec": {"limit": 501}}', 400),
    "allocations behind nothing": (f"{BASE}/selfallocations", b'{"spec": {"continue": "a/b"}}', 400),
    "another path": (f"{BASE}/pods", None, 404),
    "another verb": (f"{BASE}/quotas", b"{}", 405),
}


@pytest.mark.parametrize(("path", "body", "status"), WRONG.values(), ids=WRONG.keys())
async def test_what_cannot_be_answered_is_a_status(stage: Stage, path: str, body: bytes | None, status: int) -> None:
    answer = await stage.ask(path, ADMIN, body=body)

    assert (answer.status, answer.json["kind"], answer.json["code"]) == (status, "Status", status)
    assert stage.source.asked == []


async def test_api_servers_find_the_resources(stage: Stage) -> None:
    found = (await stage.ask(BASE, ADMIN)).json["resources"]
    assert [(each["name"], each["verbs"]) for each in found] == [
        ("selfquotas", ["create"]),
        ("selfallocations", ["create"]),
        ("quotachecks", ["create"]),
        ("quotas", ["get", "list"]),
        ("holders", ["list"]),
        ("allocations", ["list"]),
        ("pools", ["list"]),
        ("commitments", ["get", "list"]),
    ]
    assert [each["name"] for each in found if each["namespaced"]] == ["allocations"]
    assert (await stage.ask("/apis/view.userquota.dev", ADMIN)).json["preferredVersion"]["version"] == "v1alpha1"
