"""Where the ledger's text is kept: the same laws for the ConfigMap on a real API server and for the tests' own."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from localcluster.controlplane import ControlPlane
from tests.fakes import FakeLedgerObject
from tests.kubeconfigs import connected, kubeconfig, with_user, written
from webhook.kube.api import KubernetesApi
from webhook.kube.ledger_config_map import NAME, LedgerConfigMap, LedgerWatch, StoredConfigMap
from webhook.kube.reflector import Reflector
from webhook.ledger.ledger_object import LedgerObject, StoredText, SwapConflictError
from webhook.ledger.text_size import MOST_BYTES
from webhook.ports import UnavailableError

EXACT = 'userquota-ledger 1\n{"a":"b\\\\c","d":[1,"Ä\u2028\N{GRINNING FACE}\\ud83d"]}\t \r\n\n'


LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
"""What aiohttp thinks of bodies above 1 MiB: escaping the quotes makes one of a text that is smaller."""


class Place(Protocol):
    """A ledger object, and what others can do to it."""

    @property
    def kept_in(self) -> LedgerObject: ...

    async def delete(self) -> None: ...


class Contract:
    """What every `LedgerObject` does."""

    async def test_where_there_is_nothing_none_is_read(self, place: Place) -> None:
        assert await place.kept_in.read() is None

    @pytest.mark.parametrize("text", [EXACT, "x", ""], ids=["exact", "short", "empty"])
    async def test_a_text_is_read_to_the_letter(self, place: Place, text: str) -> None:
        created = await place.kept_in.create(text)

        assert created.text == text
        assert await place.kept_in.read() == created

    async def test_it_is_created_once(self, place: Place) -> None:
        created = await place.kept_in.create("one")

        with pytest.raises(SwapConflictError):
            await place.kept_in.create("two")

        assert await place.kept_in.read() == created

    async def test_of_many_that_create_it_at_once_one_does(self, place: Place) -> None:
        made = await asyncio.gather(*(place.kept_in.create(f"{n}") for n in range(10)), return_exceptions=True)

        assert [type(each) for each in made].count(SwapConflictError) == 9
        assert await place.kept_in.read() in made

    async def test_a_swap_gives_the_new_version_of_the_same_object(self, place: Place) -> None:
        created = await place.kept_in.create("one")

        swapped = await place.kept_in.swap(EXACT, after=created, writer="a")

        assert (swapped.text, swapped.uid) == (EXACT, created.uid)
        assert swapped.version > created.version
        assert await place.kept_in.read() == swapped

    async def test_a_swap_after_an_older_version_loses_and_changes_nothing(self, place: Place) -> None:
        created = await place.kept_in.create("one")
        swapped = await place.kept_in.swap("two", after=created, writer="a")

        with pytest.raises(SwapConflictError):
            await place.kept_in.swap("three", after=created, writer="a")

        assert await place.kept_in.read() == swapped

    async def test_of_many_swaps_at_once_one_wins(self, place: Place) -> None:
        created = await place.kept_in.create("one")

        swaps = (place.kept_in.swap(f"{n}", after=created, writer="a") for n in range(10))
        made = await asyncio.gather(*swaps, return_exceptions=True)

        assert [type(each) for each in made].count(SwapConflictError) == 9
        assert await place.kept_in.read() in made

    async def test_a_swap_after_the_deletion_loses_and_makes_nothing(self, place: Place) -> None:
        created = await place.kept_in.create("one")
        await place.delete()

        with pytest.raises(SwapConflictError):
            await place.kept_in.swap("two", after=created, writer="a")

        assert await place.kept_in.read() is None

    async def test_a_swap_after_it_was_made_anew_loses(self, place: Place) -> None:
        created = await place.kept_in.create("one")
        await place.delete()
        anew = await place.kept_in.create("two")
        assert anew.uid != created.uid
        assert anew.version > created.version

        for stale in (created, StoredText("", created.uid, anew.version), StoredText("", anew.uid, created.version)):
            with pytest.raises(SwapConflictError):
                await place.kept_in.swap("three", after=stale, writer="a")

        assert await place.kept_in.read() == anew

    @LARGE
    async def test_what_the_ledger_may_hold_at_most_can_be_stored(self, place: Place) -> None:
        created = await place.kept_in.create('"' * MOST_BYTES)

        swapped = await place.kept_in.swap("ä" * (MOST_BYTES // 2), after=created, writer="a")

        assert await place.kept_in.read() == swapped

    async def test_a_claim_lies_beside_the_text_until_the_next_swap(self, place: Place) -> None:
        created = await place.kept_in.create(EXACT)
        assert created.next_writer == ""

        claimed = await place.kept_in.request_turn("a")

        assert claimed == StoredText(EXACT, created.uid, claimed.version if claimed else 0, next_writer="a")
        assert claimed.version > created.version
        assert await place.kept_in.read() == claimed
        with pytest.raises(SwapConflictError):
            await place.kept_in.swap("two", after=created, writer="a")
        swapped = await place.kept_in.swap("two", after=claimed, writer="b")
        assert (swapped.next_writer, swapped.writer) == ("", "b")
        assert await place.kept_in.read() == swapped

    async def test_where_there_is_nothing_a_claim_makes_nothing(self, place: Place) -> None:
        assert await place.kept_in.request_turn("a") is None
        assert await place.kept_in.read() is None


class FakePlace:
    """The tests' own, in memory."""

    def __init__(self) -> None:
        self.kept_in = FakeLedgerObject()

    async def delete(self) -> None:
        self.kept_in.delete()


class TestFakeLedgerObject(Contract):
    @pytest.fixture
    def place(self) -> FakePlace:
        return FakePlace()


class ConfigMapPlace:
    """A ConfigMap in a namespace of a real API server."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.kept_in = LedgerConfigMap(api, namespace=namespace)
        self.path = f"/api/v1/namespaces/{namespace}/configmaps/{NAME}"

    async def delete(self) -> None:
        await self.api.delete(self.path)

    async def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.api.get(self.path))
        return found

    async def merge(self, patch: dict[str, Any]) -> None:
        """Edit it, as an admin would."""
        await self.api.patch(self.path, json.dumps(patch).encode(), content_type="application/merge-patch+json")


@pytest.fixture
async def config_map(control_plane: ControlPlane, namespace: str) -> AsyncIterator[ConfigMapPlace]:
    async with connected(control_plane.kubeconfig()) as api:
        yield ConfigMapPlace(api, namespace)


class TestLedgerConfigMap(Contract):
    @pytest.fixture
    def place(self, config_map: ConfigMapPlace) -> ConfigMapPlace:
        return config_map


# The ConfigMap alone.


async def test_it_carries_our_labels_and_one_key(config_map: ConfigMapPlace) -> None:
    created = await config_map.kept_in.create("one")
    labels = {"app.kubernetes.io/name": "userquota", "app.kubernetes.io/component": "ledger"}

    first = await config_map.document()
    await config_map.kept_in.swap("two", after=created, writer="a")
    second = await config_map.document()

    assert (first["metadata"]["labels"], first["data"]) == (labels, {"ledger": "one"})
    assert (second["metadata"]["labels"], second["data"]) == (labels, {"ledger": "two"})


async def test_a_config_map_without_our_key_is_an_empty_text(config_map: ConfigMapPlace) -> None:
    await config_map.kept_in.create("one")
    await config_map.merge({"data": None})

    found = await config_map.kept_in.read()

    assert found is not None
    assert found.text == ""


async def test_a_text_names_the_other_client_that_wrote_it_until_a_replica_writes(
    control_plane: ControlPlane, config_map: ConfigMapPlace
) -> None:
    created = await config_map.kept_in.create("one")
    assert created.written_by_other == ""

    control_plane.kubectl(
        "patch", "configmap", NAME, '--patch={"data":{"ledger":"two"}}', f"--namespace={config_map.namespace}"
    )

    found = await config_map.kept_in.read()
    assert found is not None
    assert found.written_by_other == "kubectl-patch"
    swapped = await config_map.kept_in.swap("three", after=found, writer="a")
    assert await config_map.kept_in.read() == swapped
    assert swapped.written_by_other == ""


async def test_a_text_that_was_restored_from_a_backup_names_the_client_that_wrote_it(
    control_plane: ControlPlane, config_map: ConfigMapPlace
) -> None:
    control_plane.kubectl(
        "create", "configmap", NAME, "--from-literal=ledger=one", f"--namespace={config_map.namespace}"
    )

    found = await config_map.kept_in.read()

    assert found is not None
    assert found.written_by_other == "kubectl-create"


@pytest.mark.parametrize("mark", ["team=a", "ledger=a"])
async def test_an_annotation_that_another_client_wrote_changes_nothing(
    control_plane: ControlPlane, config_map: ConfigMapPlace, mark: str
) -> None:
    created = await config_map.kept_in.create("one")

    for verb in ("label", "annotate"):
        control_plane.kubectl(verb, "configmap", NAME, mark, f"--namespace={config_map.namespace}")

    found = await config_map.kept_in.read()
    assert found == StoredText("one", created.uid, found.version if found else 0)


async def fails(ask: Callable[[], Awaitable[object]]) -> UnavailableError:
    with pytest.raises(UnavailableError) as raised:
        await ask()
    return raised.value


async def test_an_immutable_config_map_is_named(config_map: ConfigMapPlace) -> None:
    await config_map.kept_in.create("one")
    await config_map.merge({"immutable": True})
    found = await config_map.kept_in.read()
    assert found is not None

    error = await fails(lambda: config_map.kept_in.swap("two", after=found, writer="a"))

    assert error.reason == "ledger-write"
    assert error.affects_all
    assert "cannot be written" in str(error)
    assert "immutable" in str(error)


@LARGE
async def test_a_text_beyond_what_a_config_map_takes_is_no_lost_swap(config_map: ConfigMapPlace) -> None:
    created = await config_map.kept_in.create("one")

    error = await fails(lambda: config_map.kept_in.swap("x" * 2**20 + "x", after=created, writer="a"))

    assert error.reason == "ledger-write"
    assert "Too long" in str(error)


async def test_rights_that_are_missing_are_named(
    control_plane: ControlPlane, config_map: ConfigMapPlace, tmp_path: Path
) -> None:
    """As those of our service account are where the role was not applied."""
    created = await config_map.kept_in.create("one")
    token = control_plane.kubectl("create", "token", "default", f"--namespace={config_map.namespace}").stdout.strip()
    async with connected(with_user(control_plane.kubeconfig(), tmp_path, {"token": token})) as api:
        kept_in = LedgerConfigMap(api, namespace=config_map.namespace)
        errors = [
            await fails(kept_in.read),
            await fails(lambda: kept_in.create("two")),
            await fails(lambda: kept_in.swap("two", after=created, writer="a")),
            await fails(lambda: kept_in.request_turn("a")),
        ]

    assert [each.reason for each in errors] == ["ledger-read", "ledger-write", "ledger-write", "ledger-write"]
    verbs = ["get", "create", "update", "patch"]
    for verb, each in zip(verbs, errors, strict=True):
        assert f':{config_map.namespace}:default" cannot {verb} resource "configmaps"' in str(each)


async def test_a_quota_on_config_maps_in_our_namespace_is_named(
    control_plane: ControlPlane, config_map: ConfigMapPlace
) -> None:
    control_plane.kubectl(
        "create", "quota", "few-config-maps", "--hard=count/configmaps=0", f"--namespace={config_map.namespace}"
    )
    await until_the_quota_is_in_force(config_map)

    error = await fails(lambda: config_map.kept_in.create("one"))

    assert error.reason == "ledger-write"
    assert "few-config-maps" in str(error)
    assert await config_map.kept_in.read() is None


async def until_the_quota_is_in_force(config_map: ConfigMapPlace) -> None:
    """The API server applies a new quota a little later."""
    async with asyncio.timeout(20):
        for number in itertools.count():
            another = LedgerConfigMap(config_map.api, namespace=config_map.namespace, name=f"another-{number}")
            try:
                await another.create("one")
            except UnavailableError as error:
                if "exceeded quota" in str(error):
                    return
            await asyncio.sleep(0.1)


async def test_a_namespace_that_is_missing_is_named(config_map: ConfigMapPlace) -> None:
    kept_in = LedgerConfigMap(config_map.api, namespace="nowhere")

    assert await kept_in.read() is None
    error = await fails(lambda: kept_in.create("one"))

    assert error.reason == "ledger-write"
    assert '"nowhere" not found' in str(error)


async def test_an_api_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    async with connected(written(kubeconfig(), tmp_path)) as api:
        kept_in = LedgerConfigMap(api, namespace="red")
        errors = [
            await fails(kept_in.read),
            await fails(lambda: kept_in.create("one")),
            await fails(lambda: kept_in.swap("two", after=StoredText("one", "uid", 1), writer="a")),
            await fails(lambda: kept_in.request_turn("a")),
        ]

    assert [each.reason for each in errors] == ["ledger-read", "ledger-write", "ledger-write", "ledger-write"]
    for each in errors:
        assert "cannot connect" in str(each)


# The watch.


class Ears:
    """What a watch showed."""

    def __init__(self) -> None:
        self.seen: list[StoredText] = []
        self.gone: list[str] = []

    async def until_gone(self, uid: str) -> None:
        async with asyncio.timeout(20):
            while uid not in self.gone:  # noqa: ASYNC110 - the watch fills two lists
                await asyncio.sleep(0.01)


async def test_the_watch_shows_every_version_and_the_deletion_and_nothing_else(config_map: ConfigMapPlace) -> None:
    ears = Ears()
    reflector = Reflector(
        config_map.api,
        config_map.path.rpartition("/")[0],
        StoredConfigMap,
        LedgerWatch(on_seen=ears.seen.append, on_gone=ears.gone.append),
        query={"fieldSelector": f"metadata.name={NAME}"},
        resource="ledger",
    )
    watching = asyncio.create_task(reflector.run())
    first = await config_map.kept_in.create("one")
    await LedgerConfigMap(config_map.api, namespace=config_map.namespace, name="another").create("not ours")
    second = await config_map.kept_in.swap(EXACT, after=first, writer="a")
    claimed = await config_map.kept_in.request_turn("a")
    await config_map.delete()
    await ears.until_gone(first.uid)
    anew = await config_map.kept_in.create("anew")
    await config_map.delete()
    await ears.until_gone(anew.uid)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    versions = [first, second, claimed, anew]
    assert [each for each in versions if each in ears.seen][-2:] == [claimed, anew]
    assert set(ears.seen) <= set(versions)
    assert ears.gone == [first.uid, anew.uid]
