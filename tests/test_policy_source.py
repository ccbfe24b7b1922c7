"""The last good policy stays in force, whatever is written, emptied or deleted after it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from webhook.documents.policy_config_map import Fault, PolicyConfigMap, PolicyConfigMapMeta
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.policy_source import CurrentPolicy, PolicyConfigMaps, PolicyState, Submission, read_files
from webhook.policy_source.current import NO_POLICY
from webhook.ports import UnavailableError
from webhook.quota.policy import Policy
from webhook.quota.subject import Payer

ALICE = "version: 1\nusers: {alice: {hard: {cpu: 1}}}\n"
BOB = "version: 1\nusers: {bob: {hard: {cpu: 2}}}\n"
BAD = "version: 1\nusers: {alice: {hard: {cpu: 1K}}}\n"
WHY = "policy/p:2:29: users.alice.hard.cpu: invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?"


@dataclass
class Stage:
    """A policy source, and what it told."""

    may_be_absent: bool = False
    changes: list[Policy] = field(default_factory=list)
    complaints: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = CurrentPolicy(on_change=self.changes.append, on_mistakes=self._complain)
        self.removed: list[str] = []
        self.named: list[str] = []
        self.maps = PolicyConfigMaps(
            self._submit, on_removed=lambda name, _: self.removed.append(name), may_be_absent=self.may_be_absent
        )

    def _submit(self, new: Submission) -> None:
        self.policy.accept(new.texts, read_policy(new.texts), faults=new.faults)

    def _complain(self, faults: tuple[Fault, ...]) -> None:
        self.complaints.append(tuple(each.message for each in faults))
        self.named += [each.config_map for each in faults]

    def takes(self, text: str) -> None:
        self.policy.take([PolicyText("policy/p", text)])

    def sees(self, name: str, /, **data: str) -> None:
        self.maps.seen(config_map(name, **data))

    def users(self) -> list[str]:
        return sorted(self.policy.current().users)


def config_map(name: str, /, **data: str) -> PolicyConfigMap:
    return PolicyConfigMap(PolicyConfigMapMeta(name, f"uid-of-{name}", "1"), data or None)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def synced(stage: Stage, *maps: PolicyConfigMap) -> Stage:
    """Tell of a full list."""
    stage.maps.started()
    for each in maps:
        stage.maps.seen(each)
    stage.maps.synced(7)
    return stage


# One text after the other.


def test_before_the_first_policy_there_is_none_and_it_is_said_what_to_do(stage: Stage) -> None:
    with pytest.raises(UnavailableError) as raised:
        stage.policy.current()

    assert raised.value.reason == "policy"
    assert str(raised.value) == stage.policy.condition().message
    assert stage.policy.condition().message == (
        "no policy: make a ConfigMap with the label userquota.dev/policy=true, or start with --allow-no-policy"
    )


def test_a_good_policy_is_in_force_and_told_once(stage: Stage) -> None:
    stage.takes(ALICE)
    stage.takes(ALICE)

    assert stage.users() == ["alice"]
    assert stage.changes == [stage.policy.current()]
    assert stage.policy.condition().ok


def test_after_a_bad_one_the_last_good_one_stays_and_the_mistakes_are_told_once(stage: Stage) -> None:
    stage.takes(ALICE)
    stage.takes(BAD)
    stage.takes(BAD)

    assert stage.users() == ["alice"]
    assert len(stage.changes) == 1
    assert stage.complaints == [(WHY,)]
    assert stage.policy.state.mistakes == (WHY,)
    assert stage.policy.condition().ok


def test_other_mistakes_are_told_anew(stage: Stage) -> None:
    stage.takes(BAD)
    stage.takes("version: 2")

    assert stage.complaints == [
        (WHY,),
        ("policy/p:1:10: version: expected version: 1, the only one this release reads",),
    ]


def test_a_bad_first_policy_leaves_none_and_its_mistake_is_the_trouble(stage: Stage) -> None:
    stage.takes(BAD)

    assert stage.policy.condition().message == f"the policy has mistakes, the first: {WHY}"
    with pytest.raises(UnavailableError, match="did you mean k or Ki"):
        stage.policy.current()


def test_going_back_to_the_good_text_ends_the_trouble_and_changes_nothing(stage: Stage) -> None:
    stage.takes(ALICE)
    stage.takes(BAD)
    stage.takes(ALICE)

    assert stage.policy.state.mistakes == ()
    assert len(stage.changes) == 1


def test_the_same_mistakes_after_a_good_policy_are_told_again(stage: Stage) -> None:
    stage.takes(BAD)
    stage.takes(ALICE)
    stage.takes(BAD)

    assert stage.complaints == [(WHY,), (WHY,)]


def test_of_very_many_mistakes_the_first_are_told_and_how_many_more(stage: Stage) -> None:
    stage.takes("version: 1\nusers:\n" + "".join(f"  user-{number}: []\n" for number in range(1000)))

    (reported,) = stage.complaints
    assert len(reported) == 50
    assert reported[0] == "policy/p:3:11: users.user-0: expected fields, each with a value"
    assert stage.policy.state.mistakes == (*reported, "and 950 more mistakes")


@pytest.mark.parametrize("text", ["", "# all gone\n", "---\n"], ids=["empty", "a comment", "an empty document"])
def test_an_emptied_text_lifts_no_limit(stage: Stage, text: str) -> None:
    stage.takes(ALICE)
    stage.takes(text)

    assert stage.users() == ["alice"]
    assert stage.complaints == [("policy/p:1:1: no policy in it; one that limits nobody says version: 1",)]


def test_the_digest_tells_policies_apart_by_text_and_by_name() -> None:
    digests = set()
    for source, text in (("a", ALICE), ("a", BOB), ("b", ALICE)):
        policy = CurrentPolicy(on_change=lambda _: None, on_mistakes=lambda _: None)
        policy.take([PolicyText(source, text)])
        digests.add(policy.state.digest)

    assert len(digests) == 3
    assert PolicyState().digest == ""


# ConfigMaps.


def test_every_key_of_every_config_map_is_a_text_of_one_policy(stage: Stage) -> None:
    synced(stage, config_map("one", a=ALICE, b="version: 1\n"), config_map("two", c=BOB))

    assert stage.users() == ["alice", "bob"]
    assert stage.policy.current().users["bob"].place == "two/c:2"
    assert len(stage.changes) == 1


def test_nothing_is_in_force_before_the_list_is_whole(stage: Stage) -> None:
    stage.maps.started()
    stage.sees("one", a=ALICE)

    assert stage.changes == []
    stage.sees("two", b=BOB)
    stage.maps.synced(7)
    assert [sorted(policy.users) for policy in stage.changes] == [["alice", "bob"]]


def test_after_the_list_every_change_counts_at_once(stage: Stage) -> None:
    synced(stage, config_map("one", a=ALICE))

    stage.sees("two", b=BOB)
    assert stage.users() == ["alice", "bob"]
    stage.sees("two", b=BAD.replace("alice", "bob"))
    assert stage.users() == ["alice", "bob"]
    stage.maps.gone(config_map("two"))
    assert stage.users() == ["alice"]


def test_a_user_in_two_config_maps_is_a_mistake_and_the_good_policy_stays(stage: Stage) -> None:
    synced(stage, config_map("one", a=ALICE))

    stage.sees("two", b="version: 1\nusers: {alice: {hard: {cpu: 100}}}\n")

    assert stage.complaints == [("two/b:2:16: users.alice: already defined at one/a:2",)]
    assert stage.policy.current().users["alice"].place == "one/a:2"


LIFTING = {
    "the last one is deleted": lambda stage: stage.maps.gone(config_map("one")),
    "the last one loses its keys": lambda stage: stage.sees("one"),
    "the last one is emptied": lambda stage: stage.sees("one", a=""),
    "the last one keeps a comment": lambda stage: stage.sees("one", a="# version: 1\n"),
    "a list shows none": synced,
    "a list shows one without keys": lambda stage: synced(stage, config_map("one")),
}


@pytest.mark.parametrize("lift", LIFTING.values(), ids=LIFTING.keys())
def test_nothing_but_a_policy_lifts_a_limit(stage: Stage, lift: Callable[[Stage], object]) -> None:
    synced(stage, config_map("one", a=ALICE))

    lift(stage)

    assert stage.users() == ["alice"]
    assert len(stage.changes) == 1
    stage.sees("one", a="version: 1\n")  # this one does
    assert stage.users() == []


def test_that_the_last_config_map_is_deleted_is_a_mistake(stage: Stage) -> None:
    synced(stage, config_map("one", a=ALICE))

    stage.maps.gone(config_map("one"))

    assert stage.complaints == [(NO_POLICY,)]
    assert stage.named == [""]
    assert not stage.policy.text_condition().ok


def test_without_any_config_map_there_is_no_policy(stage: Stage) -> None:
    synced(stage)

    with pytest.raises(UnavailableError):
        stage.policy.current()


def test_where_it_may_be_absent_its_absence_limits_nobody() -> None:
    stage = synced(Stage(may_be_absent=True))
    assert stage.policy.current() == Policy()

    stage.sees("one", a=ALICE)
    assert stage.users() == ["alice"]

    stage.maps.gone(config_map("one"))
    assert stage.policy.current() == Policy()


def test_a_later_list_forgets_what_it_does_not_show(stage: Stage) -> None:
    synced(stage, config_map("one", a=ALICE), config_map("two", b=BOB))

    synced(stage, config_map("two", b=BOB))

    assert stage.users() == ["bob"]


def test_a_list_that_begins_again_keeps_only_what_it_shows_at_last(stage: Stage) -> None:
    stage.maps.started()
    stage.sees("one", a=ALICE)

    synced(stage, config_map("two", b=BOB))

    assert stage.users() == ["bob"]


def test_what_is_deleted_during_a_list_is_gone_after_it(stage: Stage) -> None:
    stage.maps.started()
    stage.sees("one", a=ALICE)
    stage.sees("two", b=BOB)
    stage.maps.gone(config_map("one"))
    stage.maps.synced(7)

    assert stage.users() == ["bob"]


def test_a_config_map_is_known_by_its_uid_while_it_is_there(stage: Stage) -> None:
    synced(stage, config_map("one", a=ALICE))

    assert stage.maps.uid_of("one") == "uid-of-one"
    stage.maps.gone(config_map("one"))
    assert stage.maps.uid_of("one") == ""


# Files.


def test_a_folder_stands_for_the_policies_in_it_in_their_order(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "notes.txt", "d.yaml.bak"):
        (tmp_path / name).write_text(f"# {name}")
    single = tmp_path / "notes.txt"

    texts = read_files([tmp_path, single])

    assert texts == (
        *(PolicyText(str(tmp_path / name), f"# {name}") for name in ("a.yaml", "b.yml", "c.json")),
        PolicyText(str(single), "# notes.txt"),
    )


def test_a_folder_without_a_policy_is_an_error_and_no_freedom_for_all(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(FileNotFoundError, match=r"no \.yaml, \.yml or \.json file in it"):
        read_files([tmp_path])


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_files([tmp_path / "policy.yaml"])


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes(b"version: \xff")

    with pytest.raises(OSError, match=r"not UTF-8 at byte 9: '.*policy\.yaml'"):
        read_files([tmp_path])


# Texts that are not there (confirmed defect W2): each lifted limits without a word.


def binary(name: str, content: bytes = b"# \xff") -> PolicyConfigMap:
    return PolicyConfigMap(PolicyConfigMapMeta(name, f"uid-of-{name}", "2"), None, {"p": content})


def emptied(name: str) -> PolicyConfigMap:
    return PolicyConfigMap(PolicyConfigMapMeta(name, f"uid-of-{name}", "2"), None)


NOT_READ = "two/p: it is in binaryData, where no policy is read: "
AGAIN = ": save it as UTF-8 and make the ConfigMap again"
FAULTS: dict[str, tuple[Callable[[str], PolicyConfigMap], str]] = {
    "a text in Latin-1": (binary, f"{NOT_READ}it is not UTF-8 at byte 2{AGAIN}"),
    "a text in UTF-16": (
        lambda name: binary(name, ALICE.encode("utf-16")),
        f"{NOT_READ}it is UTF-16, not UTF-8{AGAIN}",
    ),
    "a compressed text": (lambda name: binary(name, gzip.compress(b"")), f"{NOT_READ}it is gzip, not UTF-8{AGAIN}"),
    "a text in UTF-8 in binaryData": (lambda name: binary(name, BOB.encode()), f"{NOT_READ}move it to data"),
    "no text": (emptied, "two/data: it has no text: delete the ConfigMap, or put the policy back"),
}


@pytest.mark.parametrize(("broken", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_config_map_without_a_text_lifts_no_limit_and_is_named(
    stage: Stage, broken: Callable[[str], PolicyConfigMap], fault: str
) -> None:
    synced(stage, config_map("one", a=ALICE), config_map("two", p=BOB))

    stage.maps.seen(broken("two"))

    assert stage.users() == ["alice", "bob"]
    assert stage.complaints == [(fault,)]
    assert stage.named == ["two"]
    assert not stage.policy.text_condition().ok
    assert fault in stage.policy.text_condition().message


@pytest.mark.parametrize(("broken", "fault"), FAULTS.values(), ids=FAULTS)
def test_with_such_a_config_map_alone_it_is_said_why_there_is_no_policy(
    stage: Stage, broken: Callable[[str], PolicyConfigMap], fault: str
) -> None:
    """A replica that started told people to make the ConfigMap that was there."""
    synced(stage, broken("two"))

    assert stage.policy.condition().message == f"the policy has mistakes, the first: {fault}"


def test_once_the_text_is_back_all_is_well(stage: Stage) -> None:
    synced(stage, config_map("one", a=ALICE), binary("two"))
    assert not stage.policy.condition().ok

    stage.sees("two", p=BOB)

    assert stage.users() == ["alice", "bob"]
    assert stage.policy.text_condition().ok


def test_a_config_map_that_loses_its_label_is_reported(stage: Stage) -> None:
    """The watch shows it as deleted; its limits are lifted, as where it was deleted."""
    synced(stage, config_map("one", a=ALICE), config_map("two", p=BOB))

    stage.maps.gone(config_map("two", p=BOB))

    assert stage.removed == ["two"]
    assert stage.users() == ["alice"]


def test_devices_keep_their_second_names_under_each_policy_that_follows() -> None:
    stage, names = Stage(), {"requests.a.example.com/x": "requests.b.example.com/x"}
    stage.policy.name_devices(names)
    assert stage.changes == []

    for text in (ALICE, BOB):
        stage.policy.take([PolicyText("p", text)])
        assert stage.policy.current().devices.second_names == names
    stage.policy.name_devices({})

    assert [dict(each.devices.second_names) for each in stage.changes] == [names, names, {}]
    assert "bob" in stage.policy.current().users


def test_members_of_groups_stay_under_each_policy_that_follows() -> None:
    stage, groups = Stage(), {"bob": frozenset({"ml"})}
    asking = "version: 1\ngroups: {ml: {}}\nattribution: {groupObjects: openshift}\n"
    stage.policy.report_groups(groups)

    for text in (asking, asking + "cluster: {hard: {pods: 1}}\n"):
        stage.policy.take([PolicyText("p", text)])
        assert stage.policy.current().groups_of(Payer("bob")) == ("ml",)
    stage.policy.report_groups({})

    assert stage.policy.current().groups_of(Payer("bob")) == ()
    assert len(stage.changes) == 2
