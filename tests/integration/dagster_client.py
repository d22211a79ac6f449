"""Asks Dagster's webserver what its pages ask, by the same GraphQL."""

from __future__ import annotations

from typing import Any

import httpx

from tests.stack_process import DEADLINE_SECONDS, wait_until

_REPOSITORY = {
    "repositoryLocationName": "telemetry",
    "repositoryName": "__repository__",
}
_UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]


class DagsterClient:
    """One webserver."""

    def __init__(self, url: str) -> None:
        self._url = url

    def launch_partition(self, job: str, partition: str) -> str:
        """Launch a job for one partition as the launchpad does; returns the run id."""
        return self._launch(job, {}, tags=[{"key": "dagster/partition", "value": partition}])

    def launch_job(self, job: str, config: dict[str, Any]) -> str:
        """Launch a job with run configuration as the launchpad does; returns the run id."""
        return self._launch(job, config, tags=[])

    def _launch(self, job: str, config: dict[str, Any], tags: list[dict[str, str]]) -> str:
        found = self._ask(
            """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
                 __typename ... on LaunchRunSuccess { run { runId } }
                 ... on RunConfigValidationInvalid { errors { message } }
                 ... on PythonError { message } } }""",
            params={
                "selector": {**_REPOSITORY, "jobName": job},
                "runConfigData": config,
                "mode": "default",
                "executionMetadata": {"tags": tags},
            },
        )["launchRun"]
        assert "run" in found, found
        return found["run"]["runId"]

    def launch_backfill(self, assets: list[list[str]], partitions: list[str]) -> str:
        """Launch a backfill of assets as the asset page does; returns its id."""
        return self._backfill(
            assetSelection=[{"path": path} for path in assets],
            partitionNames=partitions,
            fromFailure=False,
        )

    def _backfill(self, **params: Any) -> str:
        found = self._ask(
            """mutation($params: LaunchBackfillParams!) {
                 launchPartitionBackfill(backfillParams: $params) { __typename
                   ... on LaunchBackfillSuccess { backfillId }
                   ... on PythonError { message } } }""",
            params={**params, "tags": []},
        )["launchPartitionBackfill"]
        assert "backfillId" in found, found
        return found["backfillId"]

    def backfill_status(self, backfill: str) -> str:
        """Return a backfill's status."""
        return self._ask(
            """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
                 ... on PartitionBackfill { status } } }""",
            id=backfill,
        )["partitionBackfillOrError"]["status"]

    def status(self, run: str) -> str:
        """Return a run's status."""
        return self._ask(
            "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run
        )["runOrError"]["status"]

    def statuses(self) -> list[str]:
        """Return the status of each run, newest first."""
        found = self._ask("query { runsOrError { ... on Runs { results { status } } } }")
        return [run["status"] for run in found["runsOrError"]["results"]]

    def unfinished_runs(self) -> list[str]:
        """Return the runs that are queued or going on."""
        found = self._ask(
            """query($filter: RunsFilter!) { runsOrError(filter: $filter) {
                 ... on Runs { results { runId } } } }""",
            filter={"statuses": _UNFINISHED},
        )
        return [run["runId"] for run in found["runsOrError"]["results"]]

    def check_outcomes(self, asset: list[str]) -> list[tuple[str, bool]]:
        """Return name and verdict of the latest evaluation of each check of an asset.

        Checks that the latest materialization has not got to yet, or that its run has only
        planned, a scheduled one for example, are waited for.
        """
        latest: dict[str, dict[str, Any] | None] = {}

        def evaluated() -> bool:
            latest.update(self._check_executions(asset))
            return all(execution and execution["evaluation"] for execution in latest.values())

        wait_until(evaluated, f"the checks of {'/'.join(asset)} are evaluated", lambda: latest)
        return [
            (name, execution["evaluation"]["success"])
            for name, execution in latest.items()
            if execution
        ]

    def _check_executions(self, asset: list[str]) -> dict[str, dict[str, Any] | None]:
        found = self._ask(
            """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
                 assetChecksOrError { ... on AssetChecks { checks { name
                   executionForLatestMaterialization { evaluation { success } } } } } } } }""",
            key={"path": asset},
        )
        checks = found["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {check["name"]: check["executionForLatestMaterialization"] for check in checks}

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(
            f"{self._url}/graphql",
            json={"query": query, "variables": variables},
            timeout=DEADLINE_SECONDS,
        ).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]
