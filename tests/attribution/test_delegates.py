"""Who pays for what delegates create, and in namespaces that say who owns them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.fakes import FakeNamespaces, FakeOwners, FakePolicies, FakeRights
from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.creations import Written
from webhook.attribution.rules import Attribution
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.kinds.workloads import WORKLOADS
from webhook.quota.objects import Annotations, ObjectMeta, UserExtra, UserInfo
from webhook.quota.subject import NOBODY, Payer

HUB = "system:serviceaccount:jhub:hub"
ROBOT = "system:serviceaccount:argocd:application-controller"
RS_CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
POLICY = """
version: 1
attribution:
  delegates:
    - serviceAccount: jhub/hub
      owner: [{preset: jupyterhub}, {label: user, decode: [lower], prefix: "oidc:"}]
      kinds: [pods, persistentvolumeclaims]
      never: [admin]
    - user: portal
      owner: [{namespaceLabel: person}]
  restorers: [velero/server]
  namespaceOwners: [{preset: openshift}, {namespaceName: home-*}]
"""
USERNAME = "hub.jupyter.org/username"
NOTHING = Written()
BY_ANNOTATION = f"named by {HUB} in annotation {USERNAME}"
DEPLOYMENTS = next(each for each in WORKLOADS if each.kind == "Deployment")


@dataclass(frozen=True)
class New:
    """An object that somebody creates in a namespace with these labels and annotations."""

    user: str
    answer: Attributed | Refused
    written: Written = NOTHING
    kind: AnyKind = PODS
    namespace: str = "red"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


def pays(owner: str, found_by: str, *groups: str) -> Attributed:
    payer = Payer(owner, groups)
    return Attributed(payer, found_by, payer)


def noted(name: str) -> Written:
    return Written(annotations={USERNAME: name})


ITSELF = pays(HUB, "service account")
OF_BOB = pays("bob", "owner of namespace red by namespaceAnnotation openshift.io/requester")
REQUESTER = {"openshift.io/requester": "bob"}

CASES = {
    "a delegate names a person": New(HUB, pays("student-1", BY_ANNOTATION), noted("student-1")),
    "of an object of another kind": New(
        HUB, pays("student-1", BY_ANNOTATION), noted("student-1"), PERSISTENT_VOLUME_CLAIMS
    ),
    "by a second mark": New(
        HUB, pays("oidc:alice", f"named by {HUB} in label user"), Written(labels={"user": "Alice"})
    ),
    "a delegate that names nobody pays itself": New(HUB, ITSELF),
    "a delegate pays itself for kinds that it does not act on": New(HUB, ITSELF, noted("student-1"), DEPLOYMENTS),
    "a delegate that is a user, by the namespace": New(
        "portal", pays("carol", "named by portal in namespaceLabel person"), labels={"person": "carol"}
    ),
    "a delegate names whom it must not": New(
        HUB, Refused(f"{HUB} must not name 'admin' as who pays (annotation {USERNAME})"), noted("admin")
    ),
    "a delegate names an account": New(
        HUB,
        Refused(f"{HUB} must not name 'system:serviceaccount:a:b' as who pays (annotation {USERNAME})"),
        noted("system:serviceaccount:a:b"),
    ),
    "anybody else names a person, which counts for nothing": New(
        "mallory", pays("mallory", "created it"), noted("alice")
    ),
    "another account names a person, which counts for nothing": New(
        ROBOT, pays(ROBOT, "service account"), noted("alice")
    ),
    # Marks of namespaces.
    "a robot in a namespace with an owner": New(ROBOT, OF_BOB, annotations=REQUESTER),
    "an account of that namespace": New("system:serviceaccount:red:mine", OF_BOB, annotations=REQUESTER),
    "a person there pays for what they create": New("alice", pays("alice", "created it"), annotations=REQUESTER),
    "a delegate names somebody else there": New(
        HUB, pays("student-1", BY_ANNOTATION), noted("student-1"), annotations=REQUESTER
    ),
    "a delegate that names nobody there": New(HUB, OF_BOB, annotations=REQUESTER),
    "an owner that is an account is skipped": New(
        ROBOT, pays(ROBOT, "service account"), annotations={"openshift.io/requester": HUB}
    ),
    "then the next mark counts": New(
        ROBOT,
        pays("dave", "owner of namespace home-dave by namespaceName home-*"),
        namespace="home-dave",
        annotations={"openshift.io/requester": HUB},
    ),
    "a mark on the object is none of the namespace": New(
        ROBOT, pays(ROBOT, "service account"), Written(annotations=REQUESTER)
    ),
}


def attribution(case: New, owners: FakeOwners) -> Attribution:
    namespaces = FakeNamespaces({case.namespace: case.labels}, {case.namespace: case.annotations})
    return Attribution(owners, namespaces, FakePolicies.reading(POLICY), rights=FakeRights(), kinds=KINDS)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_who_pays_for_what_is_created_for_somebody(case: New) -> None:
    answer = await attribution(case, FakeOwners()).creations.of_new(
        UserInfo(case.user), case.kind, ObjectMeta(), case.namespace, written=lambda: case.written
    )

    assert answer == case.answer


@pytest.mark.parametrize(
    ("annotations", "answer"),
    [({}, pays(NOBODY.owner, "ReplicaSet old has no owner")), (REQUESTER, OF_BOB)],
    ids=["without a mark", "with a mark"],
)
async def test_what_is_made_for_an_object_without_an_owner_is_paid_by_the_owner_of_the_namespace(
    annotations: dict[str, str], answer: Attributed
) -> None:
    owners = FakeOwners()
    made_for = ObjectMeta(owner_references=[owners.put("ReplicaSet", "old")])
    case = New(RS_CONTROLLER, answer, annotations=annotations)

    assert await attribution(case, owners).creations.of_new(UserInfo(RS_CONTROLLER), PODS, made_for, "red") == answer


async def test_what_is_made_for_an_object_with_an_owner_is_paid_by_that_one() -> None:
    owners = FakeOwners()
    made_for = ObjectMeta(owner_references=[owners.put("ReplicaSet", "web", owner="alice")])
    case = New(RS_CONTROLLER, OF_BOB, annotations=REQUESTER)

    answer = await attribution(case, owners).creations.of_new(UserInfo(RS_CONTROLLER), PODS, made_for, "red")

    assert answer == pays("alice", "owner of ReplicaSet web")


SPARK = "system:serviceaccount:red:spark"
OF_DRIVER = "owner of Pod driver, which acts"


def token_of(pod: str, uid: str, account: str = SPARK) -> UserInfo:
    return UserInfo(account, extra=UserExtra((pod,), (uid,)))


TOKENS: dict[str, tuple[UserInfo, dict[str, str], Attributed]] = {
    "of a pod with an owner": (token_of("driver", "uid-of-driver"), {}, pays("alice", OF_DRIVER, "ml")),
    "in a namespace with an owner": (token_of("driver", "uid-of-driver"), REQUESTER, pays("alice", OF_DRIVER, "ml")),
    "of a pod that was made again": (token_of("driver", "another"), {}, pays(SPARK, "service account")),
    "of a pod that is gone": (token_of("gone", "uid-of-gone"), {}, pays(SPARK, "service account")),
    "of a pod without an owner": (token_of("old", "uid-of-old"), {}, pays(SPARK, "service account")),
    "of a pod without an owner, in a namespace with one": (token_of("old", "uid-of-old"), REQUESTER, OF_BOB),
    "of no pod": (UserInfo(SPARK, extra=UserExtra()), {}, pays(SPARK, "service account")),
    "of an account of another namespace": (
        token_of("driver", "uid-of-driver", ROBOT),
        {},
        pays(ROBOT, "service account"),
    ),
}


@pytest.mark.parametrize(("user", "annotations", "answer"), TOKENS.values(), ids=TOKENS.keys())
async def test_what_a_pod_creates_in_its_namespace_is_paid_by_its_owner(
    user: UserInfo, annotations: dict[str, str], answer: Attributed
) -> None:
    owners = FakeOwners()
    owners.put("Pod", "driver", owner="alice", groups='["ml"]')
    owners.put("Pod", "old", owner=NOBODY.owner)
    case = New(user.username, answer, annotations=annotations)

    assert await attribution(case, owners).creations.of_new(user, PODS, ObjectMeta(), "red") == answer


VELERO = "system:serviceaccount:velero:server"


@pytest.mark.parametrize(
    ("user", "stamp", "answer"),
    [
        (VELERO, Annotations(owner="alice", groups='["ml"]'), pays("alice", f"restored by {VELERO}", "ml")),
        (VELERO, Annotations(owner=NOBODY.owner, groups="[]"), pays(NOBODY.owner, f"restored by {VELERO}")),
        (VELERO, Annotations(owner="alice"), pays(VELERO, "service account")),
        (VELERO, None, pays(VELERO, "service account")),
        (ROBOT, Annotations(owner="alice", groups='["ml"]'), pays(ROBOT, "service account")),
        ("alice", Annotations(owner="bob", groups="[]"), pays("alice", "created it")),
    ],
    ids=["with a stamp", "of nobody", "with half a stamp", "without one", "another account", "a person"],
)
async def test_what_is_restored_keeps_its_stamp(user: str, stamp: Annotations | None, answer: Attributed) -> None:
    case = New(user, answer)

    found = await attribution(case, FakeOwners()).creations.of_new(
        UserInfo(user), PODS, ObjectMeta(annotations=stamp), "red"
    )

    assert found == answer
