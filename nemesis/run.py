"""
One run from beginning to end: start, load and faults together, rest, and the record of what is left.

Nothing is judged here: see `judge`.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import msgspec

from nemesis import policies, promising, records
from nemesis.api import Api
from nemesis.audit import audited, audited_edits
from nemesis.clients import Clients
from nemesis.faults import Faults
from nemesis.ledger_text import UnreadableLedgerError, read_ledger
from nemesis.lives import Lives
from nemesis.platform import Platform
from nemesis.promising import Book
from nemesis.recorder import Recorder
from nemesis.records import Run, Writer
from nemesis.rig import CALM, HURT, Rig, running_rig
from nemesis.wishes import too_much
from nemesis.workload import NAMESPACES, USERS, Workload

_LONGEST_REST = 85.0
"""Seconds. Convergence is promised within 60; the judge measures it."""

_PROBES = 6
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run."""

    seed: int
    minutes: float
    rate: float
    replicas: int
    without: tuple[str, ...]
    older: str = ""
    """The revision of every other start of a replica, if not all are of this one."""
    has_grants: bool = True
    """Whether replicas may allow creates in their memory."""


def perform(plan: Plan, out: Path, *, report: Report) -> None:
    """Run *plan*, and write the records into *out*, an empty folder; the files of the processes are below it."""
    processes = out / "processes"
    processes.mkdir(parents=True)
    report("starting etcd, three API servers and the replicas")
    book = Book(f"{plan.seed} commitments")
    policy = policies.text(policies.usual(), book.entries)
    options = () if plan.has_grants else ("--no-grants",)
    with running_rig(processes, policy, replicas=plan.replicas, older=plan.older, options=options) as rig:
        asyncio.run(_Performance(plan, rig, book, out, report).whole())
    report("reading the audit logs")
    logs = [(server, rig.audit_log(server)) for server in HURT]
    writer = Writer(out / records.AUDITED)
    for each in audited(logs):
        writer.write(each)
    writer.close()
    writer = Writer(out / records.AUDITED_EDITS)
    for edit in audited_edits(rig.audit_log(CALM)):
        writer.write(edit)
    writer.close()
    run = msgspec.json.decode((out / records.RUN).read_bytes(), type=Run)
    run = msgspec.structs.replace(run, etcd_bytes=_size(rig.etcd_folder))
    (out / records.RUN).write_bytes(msgspec.json.encode(run))
    for _, log in logs:
        log.unlink()
    shutil.rmtree(rig.etcd_folder)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class _Performance:
    """The asynchronous part of a run."""

    def __init__(self, plan: Plan, rig: Rig, book: Book, out: Path, report: Report) -> None:
        self._begun = time.monotonic()
        self._epoch = time.time()
        self._book = book
        self._plan = plan
        self._rig = rig
        self._out = out
        self._report = report
        self._faults = Writer(out / records.FAULTS)
        self._requests = Writer(out / records.REQUESTS)
        self._lives = Writer(out / records.LIVES)
        self._edits = Writer(out / records.EDITS)
        self._recorder = Recorder(
            rig.url(CALM),
            out,
            token=rig.token(),
            tls=rig.tls,
            clock=self._clock,
            namespaces=set(NAMESPACES),
            kinds=records.CHARGED,
        )

    def _clock(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begun

    async def whole(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._rig.tls)
        tokens = {user: self._rig.token(user) for user in (*USERS, "admin")}
        urls = [self._rig.url(server) for server in HURT]
        clients = Clients(urls, tokens, tls=self._rig.tls, clock=self._clock, record=self._requests)
        try:
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                clients,
                beside(self._recorder.run()) as recording,
            ):
                await _unless_it_fails(recording, self._scenes(session, clients))
        finally:
            for writer in (self._faults, self._requests, self._lives, self._edits):
                writer.close()

    async def _scenes(self, session: aiohttp.ClientSession, clients: Clients) -> None:
        api = Api(session, self._rig.url(CALM), self._rig.token())
        seconds = self._plan.minutes * 60
        lives = Lives(self._rig.replicas, clock=self._clock, lives=self._lives, faults=self._faults)
        await api.mark(0)  # every real cluster has such objects
        for node in promising.NODES:
            await api.make_node(node)
        await self._load(session, clients, api, lives, seconds)
        rest_began = self._clock()
        self._report("faults and clients rest")
        await self._rest(rest_began)
        for number in range(_PROBES * len(USERS)):
            for wish in too_much(USERS[number % len(USERS)], NAMESPACES[0], f"{records.DRY_NAME}probe-{number}"):
                await clients.ask(replace(wish, verb=records.PROBE), number // len(USERS) % len(HURT))
        await self._recorder.until(await api.mark(1))
        final: dict[str, int] = {}
        for kind in records.CHARGED:
            for namespace in NAMESPACES:
                final |= await api.objects(kind, namespace)
        last = await api.mark(2)
        await self._recorder.until(last)
        lives.close()
        self._write_down(seconds, rest_began, last, final)

    async def _load(
        self, session: aiohttp.ClientSession, clients: Clients, api: Api, lives: Lives, seconds: float
    ) -> None:
        workload = Workload(clients, self._recorder.view, seed=f"{self._plan.seed} workload", rate=self._plan.rate)
        faults = Faults(
            self._rig,
            api,
            lives,
            ledgers=self._recorder.ledgers,
            servers=[Api(session, self._rig.url(server), self._rig.token()) for server in HURT],
            journal=self._faults,
            book=self._book,
            edits=self._edits,
            clock=self._clock,
            seed=self._plan.seed,
            without=self._plan.without,
        )
        platform = Platform(clients, self._recorder.view, seed=f"{self._plan.seed} platform")
        async with beside(self._tell(clients, lives, workload)), beside(lives.watch()):
            async with beside(faults.run()) as hurting, beside(platform.run(seconds)) as making:
                await _unless_it_fails(hurting, workload.run(seconds))
                await making
            await faults.mend()

    async def _tell(self, clients: Clients, lives: Lives, workload: Workload) -> None:
        while True:
            await asyncio.sleep(10)
            exist = ", ".join(
                f"{len(objects)} {kind.partition('.')[0]}" for kind, objects in self._recorder.view.items()
            )
            self._report(
                f"{self._clock():6.0f} s  {clients.asked} requests, {self._recorder.revisions} revisions, "
                f"{lives.kills} kills, {exist}, "
                f"{sum(clients.under_way)} under way, {workload.skipped} skipped"
            )

    async def _rest(self, began: float) -> None:
        """Return when nothing is reserved, or after `_LONGEST_REST`."""
        while self._clock() - began < _LONGEST_REST:
            await asyncio.sleep(0.5)
            try:
                ledger = read_ledger(self._recorder.ledgers[-1]) if self._recorder.ledgers else None
            except UnreadableLedgerError:
                continue
            if ledger is not None and ledger.is_open and ledger.has_nothing:
                return

    def _write_down(self, seconds: float, rest_began: float, last: int, final: dict[str, int]) -> None:
        run = Run(
            self._plan.seed,
            self._plan.minutes,
            self._plan.replicas,
            self._plan.without,
            seconds,
            rest_began,
            self._clock(),
            last,
            final,
            older=self._plan.older,
            starts_of_older=self._rig.replicas.starts_of_older,
            epoch=self._epoch,
            has_grants=self._plan.has_grants,
        )
        (self._out / records.RUN).write_bytes(msgspec.json.encode(run))


@asynccontextmanager
async def beside(work: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run *work* in the background, and cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _unless_it_fails(task: asyncio.Task[None], work: Coroutine[object, object, None]) -> None:
    """Run *work*, but stop if *task* ends, which it should not: raise what it raised."""
    working = asyncio.create_task(work)
    await asyncio.wait({task, working}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        task.result()
        raise RuntimeError("a part of the run ended before its time")
    working.result()
