"""
Objects that people write: what each kind costs, what presets read of sessions, what a check of manifests says of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache

import msgspec
from msgspec import Raw

from fuzz.target import Target, promise
from fuzz.targets.worlds import NOON, policy, result_of
from webhook.admission.check_status import status_of
from webhook.admission.manifests import Author, TooManyError
from webhook.admission.review import AdmissionRequest, ReviewError
from webhook.attribution.stamp import read_maker, read_stamp
from webhook.documents.object_text import RawObject, object_in
from webhook.kinds.evaluator import AnyKind, UncountableError
from webhook.kinds.pods import PODS
from webhook.kinds.registry import Registry
from webhook.kinds.sessions import SessionReader
from webhook.ports import UnavailableError
from webhook.quota import resources
from webhook.quota.objects import AnyObject, GroupVersionResource, UserInfo
from webhook.quota.policy import Policy
from webhook.quota.resources import Amounts
from webhook.wiring.file_kinds import kinds_under
from webhook.wiring.manifest_check import ManifestError, check
from webhook.wiring.saved_usage import SavedUsageError

_REVIEW = (GroupVersionResource(), "CREATE", UserInfo("alice"))


@cache
def _kinds() -> Registry:
    return kinds_under(_policy())


@cache
def _readers() -> tuple[SessionReader, ...]:
    return tuple(map(SessionReader, _policy().presets))


def check_object(data: bytes) -> None:
    """Check what an object costs by its kind, and everything else that its evaluator says of it."""
    request = AdmissionRequest("u", *_REVIEW, object=Raw(data), old_object=Raw(data))
    try:
        typed = request.decode(AnyObject)
        kind = _kinds().of_object(typed.api_version, typed.kind) or PODS
        obj = request.decode(kind.shape)
    except ReviewError as error:
        promise(error.uid == "u" and "request.object" in str(error), str(error))
        return
    read_stamp(typed.metadata)
    read_maker(typed.metadata)
    _check_evaluator(kind, obj, data)
    if kind.demand is not None:
        try:
            _check_amounts(kind.demand.of(request.decode(kind.demand.shape)))
        except (UncountableError, ReviewError):
            pass


def _check_evaluator(kind: AnyKind, obj: object, data: bytes) -> None:
    evaluator = kind.evaluator
    for ask in (
        lambda: _check_amounts(evaluator.usage(obj, now=None)),
        lambda: _check_amounts(evaluator.usage(obj, now=NOON)),
        lambda: _check_amounts(evaluator.asked(obj) or ()),
        lambda: _check_size(kind, obj),
        lambda: evaluator.scopes(obj),
        lambda: evaluator.former_cost(obj, now=None),
        lambda: evaluator.labels(obj),
        lambda: evaluator.released_at(obj),
        lambda: evaluator.has_ended(obj),
        lambda: evaluator.explain(obj),
        lambda: evaluator.authored(obj, data),
        lambda: evaluator.uncounted(obj),
        lambda: evaluator.undeclared(obj),
        lambda: evaluator.fill(obj, {}, {}),
        lambda: evaluator.filled_by(obj, data),
    ):
        try:
            ask()
        except UncountableError as error:
            promise(str(error) and len(str(error)) <= 2 * len(data) + 1000, "an error that grows", str(error)[:200])


def _check_size(kind: AnyKind, obj: object) -> None:
    size = kind.evaluator.size(obj)
    if size is not None:
        _check_amounts(size.amounts)


def _check_amounts(amounts: Amounts) -> None:
    for name, amount in amounts:
        promise(type(amount) in {int, Fraction} and amount >= 0, "amount", name, amount)
        promise(resources.show(name, amount), "shown", name)


def check_session(data: bytes) -> None:
    """Check what each preset reads in an object."""
    for reader in _readers():
        try:
            reading = reader.read(data)
        except UncountableError as error:
            promise(str(error) and len(str(error)) <= 2 * len(data) + 1000, "an error that grows", str(error)[:200])
            continue
        if reading is not None:
            promise(reading == reader.read(data), "twice")
            promise(reading.pods >= 0, "pods")
            _check_amounts(reading.amounts)
            _check_amounts(reading.most or ())


@cache
def _policy() -> Policy:
    return policy()


@cache
def _small_policy() -> Policy:
    return policy(("kubeflow-notebook", "jupyterhub"))  # what answers is built anew for each input


def check_check(data: bytes) -> None:
    """Check the check of one manifest: what everybody may have the view judge."""
    try:
        written = object_in(data, source="spec.objects[0]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    try:
        came = result_of(check(_each(written), Author(UserInfo("alice", ("ml",)), "red"), _small_policy(), (), NOON))
    except (ManifestError, SavedUsageError, ReviewError, UncountableError, TooManyError, UnavailableError) as error:
        promise(str(error), "an error without words")
        return
    except msgspec.MsgspecError:
        return
    promise(len(came.objects) == 1, "one object, one verdict")
    msgspec.json.encode(status_of(came))


def _each(written: RawObject) -> Iterable[RawObject]:
    return (written,)


TARGETS = (
    Target(
        "object",
        "`kinds/` pods, claims, resource claims, workloads, sessions",
        "no amount is negative, an error is hardly longer than the object",
        check_object,
    ),
    Target(
        "session",
        "`kinds/sessions.py` with every shipped preset",
        "the same each time, no amount is negative, an error is hardly longer than the object",
        check_session,
    ),
    Target(
        "check",
        "`admission/manifests.py` over `wiring/manifest_check.py`",
        "one verdict for an object, which can be sent",
        check_check,
        mutations=150,
    ),
)
