"""The edge itself: from decoded events to durable rows and an answer. No HTTP here.

Every door (HTTP, Lambda, the inbox) calls `receive` or `land`, so all of them promise the same:
what is answered is in the table.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING

import polars as pl
from deltalake.exceptions import DeltaError
from obstore.exceptions import BaseError as StoreError

from ingest_lambda.admission import Receipt, Verdicts, event_rows, judge, rejected_rows
from ingest_lambda.answers import Answer, answer
from ingest_lambda.appender import Appender, NotDurable
from ingest_lambda.contracts import compile_contracts, log_refused
from ingest_lambda.landing import Committer, QueueFull
from ingest_lambda.metrics import Metrics
from ingest_lambda.post_reader import DECODE, ReadPost, Refused
from ingest_lambda.probe import StoreAway, StoreProof
from ingest_lambda.problems import not_durable
from ingest_lambda.reading import Reading
from ingest_lambda.recent import RecentIds
from ingest_lambda.settling import Settling
from ingest_lambda.spool import Spool
from ingest_lambda.spooling import SpoolingAppender
from ingest_lambda.warm import load_recent, recall_spooled
from telemetry_contracts.adoption import InForce
from telemetry_contracts.bulk import NO_EVENTS
from telemetry_contracts.reader import Refusal, Violation
from telemetry_contracts.registry import Registry
from telemetry_contracts.sealing import SealBox
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.access_keys.key_store import KeyStore
from telemetry_platform.clock import utc_now
from telemetry_platform.contracts import contract_folder
from telemetry_platform.ids import new_receipt_id
from telemetry_platform.layout import LANDING_EVENTS, LANDING_FILES, LANDING_REJECTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest_lambda.bodies import Sent
    from telemetry_contracts.bulk import ReadEvents
    from telemetry_contracts.contract import Contract
    from telemetry_platform.layout import Table
    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)
_SECONDS_UNTIL_SPOOLING = 2.0


class Edge:
    """Everything one edge process holds open. Build it with `open_edge`, end it with `close`."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        """Prove the store safe and open keys and tables.

        With a spool this succeeds while storage is away: the tables are opened once it is back.

        Raises:
            UnsafeStore: The object store must not be used or, without a spool, is away.
            OSError: A key file is missing.
        """
        self.store = StoreProof(settings)
        try:
            self.store.prove()
        except StoreAway as error:
            if not settings.spool_max_bytes:
                raise
            _log.warning("starting while storage is away", extra={"reason": str(error)})
        self.settings = settings
        self.metrics = Metrics()
        self.keyring = KeyRing.from_file(settings.secrets_dir / "token_keys.json")
        self.keys = KeyStore(settings.secrets_dir / "api_keys.json")
        self.recent = RecentIds(settings.recent_ids)
        self.box = SealBox.from_file(settings.secrets_dir / "seal_keys.json")
        self.contracts = compile_contracts(InForce(registry), self.keyring)
        self.metrics.watch_contracts(lambda: len(self.contracts.refused))
        self.reading = Reading(settings)
        self._settling = Settling()
        self.spools: dict[str, Spool] = {}
        self.appenders: list[Appender | SpoolingAppender] = []
        self.events = self._committer(LANDING_EVENTS)
        self.rejected = self._committer(LANDING_REJECTED)
        self.files = self._committer(LANDING_FILES)

    def _committer(self, table: Table) -> Committer:
        appender = self._appender(table)
        self.appenders.append(appender)
        self.metrics.watch_open(table.path, lambda: appender.is_open)
        committer = Committer(
            appender,
            self.settings.commit_spacing_ms / 1000,
            self.metrics.on_commit(table.path),
        )
        self.metrics.watch_queue(table.path, lambda: committer.queued_rows)
        return committer

    def _appender(self, table: Table) -> Appender | SpoolingAppender:
        settings = self.settings
        if not settings.spool_max_bytes:
            return Appender(settings, table)
        file = settings.spool_dir / f"{table.path.replace('/', '-')}.sqlite3"
        spool = Spool(file, self.box, settings.spool_max_bytes)
        self.spools[table.path] = spool
        self.metrics.watch_spool(table.path, spool)

        def reach() -> Appender:
            self.store.prove()
            return Appender(settings, table, _SECONDS_UNTIL_SPOOLING, spool.app_id)

        if self.store.proven:
            return SpoolingAppender(table, spool, reach, reach())
        return SpoolingAppender(table, spool, lambda: self._reach_late(reach, table))

    def _reach_late(self, reach: Callable[[], Appender], table: Table) -> Appender:
        """Open a table that was away at the start; recall its ids before the spool follows them."""
        appender = reach()
        if table is LANDING_EVENTS:
            # So few that none of those is forgotten that were accepted meanwhile.
            room = self.settings.recent_ids // 2 - len(self.recent)
            try:
                load_recent(self.settings, self.recent, room)
            except (DeltaError, StoreError, OSError, pl.exceptions.PolarsError) as error:
                _log.warning("recent events not recalled", extra={"error": type(error).__name__})
        return appender

    @property
    def registry(self) -> Registry:
        """Contracts in force. What needs one twice keeps it: they may change in between."""
        return self.contracts.registry

    def receipt(
        self, source: str, arrived: Receipt | None = None, contract: Contract | None = None
    ) -> Receipt:
        """Return a receipt for events of `source`.

        Args:
            source: A source with a contract, or a name for files that fit none.
            arrived: A receipt given before the source was known; its id and time are kept.
            contract: The contract they are read by; the one in force unless it is said.
        """
        contract = contract or self.registry.get(source)
        return Receipt(
            arrived.id if arrived else new_receipt_id(),
            source,
            arrived.received_at if arrived else utc_now(),
            contract.version if contract else "",
            self.keyring.current_version,
        )

    async def receive(self, source: str, sent: Sent) -> Answer:
        """Judge the events of one post, make the outcome durable, and only then answer.

        Args:
            source: A source that has a contract.
            sent: What was posted.

        Raises:
            Problem: 400, 413 or 415 when the body cannot be taken apart; 503 when it could not be
                made durable. Nothing was acknowledged.
        """
        contracts = self.contracts
        receipt = self.receipt(source, contract=contracts.registry[source])
        return await self._settle(await self.reading.read(contracts, source, sent), receipt)

    async def land_one(self, event: ReadEvents, receipt: Receipt) -> Answer:
        """Make an event durable that was read already, and answer as `receive` does.

        Raises:
            Problem: 503 when it could not be made durable.
        """
        return await self._settle(ReadPost(event, []), receipt)

    async def refuse(self, source: str, text: bytes, violation: Violation) -> Answer:
        """Seal what cannot be taken apart as one refused event, for doors where nobody is told.

        Args:
            source: Whose it is said to be; it needs no contract.
            text: The bytes as they came.
            violation: Why it is refused.

        Raises:
            Problem: 503 when it could not be made durable.
        """
        refused = Refused(0, DECODE, Refusal((violation,)), text)
        return await self._settle(ReadPost(NO_EVENTS, [refused]), self.receipt(source))

    async def _settle(self, post: ReadPost, receipt: Receipt) -> Answer:
        """Judge a post that was read, make the outcome durable, and answer."""
        try:
            verdicts, commits = self._submit(post, receipt)
            for commit in commits:
                await self._settling.over(commit)
        except QueueFull:
            raise not_durable("too many events wait to be stored") from None
        except NotDurable:
            raise not_durable("storage does not take events now", retry_after=5) from None
        result = answer(receipt, verdicts)
        self._account(receipt, result)
        return result

    def _submit(self, post: ReadPost, receipt: Receipt) -> tuple[Verdicts, set[Future[int | None]]]:
        """Judge and queue a post; return the commits that must be over before the answer."""
        with self.recent.lock:
            verdicts = judge(post, receipt.source, self.recent)
            commits = set(verdicts.waits)
            if verdicts.keys:
                done = self.events.submit(event_rows(verdicts, receipt))
                self.recent.claim(verdicts.keys, done)
                commits.add(done)
        if verdicts.refused:
            commits.add(self.rejected.submit(rejected_rows(verdicts, receipt, self.box)))
        return verdicts, commits

    def _account(self, receipt: Receipt, result: Answer) -> None:
        self.metrics.answered(receipt.source, result)
        _log.info(
            "received",
            extra={
                "receipt_id": receipt.id,
                "source": receipt.source,
                "accepted": result.accepted,
                "duplicate": result.duplicate,
                "rejected": result.rejected,
            },
        )

    @property
    def spooling(self) -> list[str]:
        """Tables whose rows go to the spool, because storage is away."""
        return [each.name for each in self._spooling_appenders() if each.waiting]

    def _spooling_appenders(self) -> list[SpoolingAppender]:
        return [each for each in self.appenders if isinstance(each, SpoolingAppender)]

    def unready(self) -> list[str]:
        """Return what keeps the edge from accepting events now; empty when ready."""
        reasons = []
        if self.keys.empty and self.settings.jwt_issuer is None:
            reasons.append(self.keys.problem or "there is no valid API key")
        refusals = (each.refusal for each in self._spooling_appenders())
        # One store is refused for all tables alike.
        reasons += dict.fromkeys(refusal for refusal in refusals if refusal is not None)
        reasons += [
            f"{committer.name} takes no commits"
            for committer in (self.events, self.rejected)
            if committer.failing
        ]
        return reasons

    def close(self) -> None:
        """Commit what is queued and stop."""
        for committer in (self.events, self.rejected, self.files):
            committer.close()


def open_edge(settings: Settings) -> Edge:
    """Prove the store safe, open keys, contracts and tables, and recall recent events.

    Raises:
        UnsafeStore: The object store must not be used or, without a spool, is away.
        OSError: A key file is missing.
    """
    found = contract_folder(settings).look()
    log_refused(found.refused, {})
    edge = Edge(settings, found.registry)
    edge.contracts = edge.contracts._replace(refused=found.refused)
    loaded = load_recent(settings, edge.recent, settings.recent_ids) if edge.store.proven else 0
    if edge.spools:
        recall_spooled(edge.recent, edge.spools[LANDING_EVENTS.path])
    _log.info("ready", extra={"recent_events": loaded, "root": settings.root})
    return edge
