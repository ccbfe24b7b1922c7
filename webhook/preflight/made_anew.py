"""
Who would pay for what nobody is known to own, once it is made anew. The rules are those by which the webhook decides.

Which user made an object is kept nowhere in the API. So each is asked for as if its controller made it; and what no
controller has made as if a service account did, or a delegate of the policy that acts on such objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.creations import Creations
from webhook.attribution.identities import KUBE_CONTROLLER_MANAGER, Identities
from webhook.attribution.lineage import Lineage
from webhook.attribution.stamp import groups_text
from webhook.kinds.evaluator import AnyKind, UncountableError
from webhook.kinds.registry import Registry
from webhook.preflight.census import Census, Link, Topmost
from webhook.quota.objects import Annotations, ObjectMeta, OwnerReference, UserInfo
from webhook.quota.policy import Policy
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import NOBODY, SERVICE_ACCOUNT_PREFIX, UNATTRIBUTED, Payer

T = TypeVar("T")

ITS_CONTROLLER = "its controller"
AN_ACCOUNT = "a service account"
_SOME_ACCOUNT = UserInfo(f"{SERVICE_ACCOUNT_PREFIX}?")
"""Stands for any account that the policy does not name. None can have this name."""

_CREATOR_PAYS = "no delegate of the policy acts on these: who creates one pays for it"
_MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Anew:
    """
    Objects of one kind in a namespace, and who would pay for them if *made_by* made them anew; with an empty `payer`
    whoever creates them, or nobody, because that is refused.

    `made_by` is a delegate's username, or words for controllers and other accounts. `found_by` are some of the reasons,
    or of the refusals. `used` is what they cost now.
    """

    namespace: str
    kind: str
    made_by: str
    payer: str
    is_refused: bool
    found_by: tuple[str, ...]
    objects: int
    used: Amounts


class MadeAnew(NamedTuple):
    """What is to be told, and the payer by uid of each object for which there is one, whoever makes it anew."""

    rows: tuple[Anew, ...]
    payers: Mapping[str, Payer]


async def made_anew(census: Census, kinds: Registry) -> MadeAnew:
    """Return who would pay for the objects of a complete *census* of *kinds* that nobody is known to own."""
    asking = _Asking(census, kinds)
    await asking.ask_of_topmost()
    for uid, link in census.links.items():
        if not link.is_owned and uid not in asking.asked:
            await asking.ask(uid, link.resource, link.namespace, link.controller)
    for each in census.objects():
        if each.row.payer.owner == UNATTRIBUTED and each.row.uid not in asking.asked:
            await asking.ask(each.row.uid, each.key.resource, each.key.namespace, None)
    return MadeAnew(tuple(_rows(census, asking.asked)), asking.payers)


class _Answer(NamedTuple):
    namespace: str
    kind: str
    made_by: str
    found: Attributed | Refused


class _Asking:
    """Asks attribution about one object after the other: those on top first, because others follow them."""

    def __init__(self, census: Census, kinds: Registry) -> None:
        self._census = census
        self._kinds = kinds
        self.payers: dict[str, Payer] = {}
        self._named: dict[str, Payer] = {}
        self.asked: dict[str, tuple[_Answer, ...]] = {}
        policies = _Policies(census.policy)
        identities = Identities(policies, kinds=kinds)
        ancestry = _Ancestry(census, self._named)
        lineage = Lineage(ancestry, kinds=kinds)
        namespaces = _Namespaces(census)
        self._creations = Creations(ancestry, namespaces, policies, identities=identities, lineage=lineage, kinds=kinds)

    async def ask_of_topmost(self) -> None:
        """Ask about what delegates act on, and about sessions."""
        for each in self._census.topmost:
            found = [answer async for answer in self._of_topmost(each)]
            self._take(each.meta.uid, *found)
            if each.meta.uid in self.payers and found[0].made_by != AN_ACCOUNT:
                self._named[each.meta.uid] = self.payers[each.meta.uid]

    async def ask(self, uid: str, resource: str, namespace: str, controller: OwnerReference | None) -> None:
        """Ask about an object that its *controller* would make anew, or some account if it has none."""
        kind = self._kinds.of_resource(resource)
        if kind is None:
            return
        meta = ObjectMeta(owner_references=None if controller is None else [controller])
        user = _SOME_ACCOUNT if controller is None else UserInfo(KUBE_CONTROLLER_MANAGER)
        found = await self._creations.of_new(user, kind, meta, namespace)
        if isinstance(found, Refused):  # its controller is gone, or could not be listed: nothing makes it anew
            self._take(uid)
            return
        made_by = AN_ACCOUNT if controller is None else ITS_CONTROLLER
        self._take(uid, _Answer(namespace, kind.kind, made_by, found))

    async def _of_topmost(self, each: Topmost) -> AsyncIterator[_Answer]:
        """Yield what is answered to delegates that act on it, and to other accounts where none says whose it is."""
        namespace, kind = each.meta.namespace, each.kind
        by_account = await self._creations.of_new(_SOME_ACCOUNT, kind, each.meta, namespace)
        is_named = False
        for name, delegate in sorted(self._census.policy.delegates.items()):
            if not delegate.acts_on(kind.resource):
                continue
            found = await self._creations.of_new(
                UserInfo(name),
                kind,
                each.meta,
                namespace,
                written=lambda: each.written,
                says=lambda _: _said(each),
            )
            names_nobody = isinstance(found, Attributed) and (found == by_account or found.payer.owner == name)
            if not names_nobody or (each.is_session and delegate.names_sessions):
                is_named = True
                yield _Answer(namespace, kind.kind, name, found)
        if not is_named:
            yield _Answer(namespace, kind.kind, AN_ACCOUNT, by_account)

    def _take(self, uid: str, *answers: _Answer) -> None:
        self.asked[uid] = answers
        payers = {each.found.payer if isinstance(each.found, Attributed) else NOBODY for each in answers}
        if len(payers) == 1 and not payers & {NOBODY, Payer(_SOME_ACCOUNT.username)}:
            [self.payers[uid]] = payers


def _said(each: Topmost) -> tuple[str, str] | None:
    """Return whose a session is by its preset. Raises: UncountableError, as the evaluator did."""
    if isinstance(each.said, UncountableError):
        raise each.said
    return each.said


def _rows(census: Census, asked: Mapping[str, tuple[_Answer, ...]]) -> Iterator[Anew]:
    costs = {each.row.uid: each.amounts for each in census.objects()}
    sessions = {each.meta.uid for each in census.topmost if each.is_session}
    objects: dict[tuple[str, str, str, str, bool], int] = defaultdict(int)
    reasons: dict[tuple[str, str, str, str, bool], dict[str, None]] = defaultdict(dict)
    used: dict[tuple[str, str, str, str, bool], dict[str, Amount]] = defaultdict(dict)
    for uid, answers in asked.items():
        for each in answers:
            told = _told(each, is_session=uid in sessions)
            if told is None:
                continue
            payer, why, is_refused = told
            row = (each.namespace, each.kind, each.made_by, payer, is_refused)
            objects[row] += 1
            if len(reasons[row]) < _MOST_REASONS:
                reasons[row][why] = None
            for name, amount in costs.get(uid, ()):
                used[row][name] = used[row].get(name, 0) + amount
    for row in sorted(objects):
        yield Anew(*row, tuple(reasons[row]), objects[row], tuple(sorted(used[row].items())))


def _told(each: _Answer, *, is_session: bool) -> tuple[str, str, bool] | None:
    """Return who pays, why, and whether it is refused; None where there is nothing to tell."""
    if isinstance(each.found, Refused):
        return "", each.found.message, True
    payer = each.found.payer
    if payer.owner == _SOME_ACCOUNT.username:
        return ("", _CREATOR_PAYS, False) if is_session else None
    return None if payer == NOBODY else (payer.owner, each.found.found_by, False)


class _Policies:
    """Port `PolicySource`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def current(self) -> Policy:
        """Return the policy that is looked at."""
        return self._policy


class _Namespaces:
    """Port `Namespaces`, over those that were listed."""

    def __init__(self, census: Census) -> None:
        self._census = census

    def known(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        return self._census.labels_of(name)

    async def labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        return self._census.labels_of(name)

    async def annotations(self, name: str) -> Mapping[str, str]:
        """Return the annotations of a namespace."""
        return self._census.texts_of(name).annotations


class _Ancestry:
    """Port `Ancestry`, over what was counted: with the stamps that objects have, or get from delegates."""

    def __init__(self, census: Census, named: Mapping[str, Payer]) -> None:
        self._links = census.links
        self._named = named
        self._uids = {(each.resource, each.namespace, each.name): uid for uid, each in census.links.items()}

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:
        """Return the metadata of a pod, a workload or a session."""
        uid = self._uids.get((kind.resource, namespace, name))
        return None if uid is None else self._meta(uid, self._links[uid])

    async def read_whole(self, kind: AnyKind, namespace: str, name: str, shape: type[T]) -> T | None:  # noqa: ARG002
        """Return None: claim templates are not kept."""
        return None

    def _meta(self, uid: str, link: Link) -> ObjectMeta:
        payer = link.payer if link.is_owned else self._named.get(uid)
        return ObjectMeta(
            name=link.name,
            namespace=link.namespace,
            uid=uid,
            annotations=None if payer is None else Annotations(owner=payer.owner, groups=groups_text(payer)),
            owner_references=None if link.controller is None else [link.controller],
        )
