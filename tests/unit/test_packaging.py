"""What the project ships beside code: the container stack, the locks and the package list.

No container engine is needed: the Compose file is held against the official schema (which the
package check-jsonschema carries) and against what the other files of the stack ask for.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from telemetry_cli.embedded import roles
from telemetry_cli.secret_files import make_secret_files

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA = "builtin_schemas/vendor/compose-spec.json"
DAGSTER_SERVICES = ("code-server", "webserver", "daemon")
_VARIABLE = re.compile(r"\$\{(\w+)[^}]*\}")
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return the parsed Compose file, YAML merges applied."""
    return yaml.safe_load((PROJECT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    return compose["services"]


@pytest.fixture(scope="module")
def secret_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that `telemetry secrets init` has filled."""
    directory = tmp_path_factory.mktemp("deployment") / "secrets"
    make_secret_files(directory)
    return directory


def test_the_compose_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((resources.files("check_jsonschema") / SCHEMA).read_text())
    validator = validator_for(schema)
    validator.check_schema(schema)
    errors = [
        f"{error.json_path}: {error.message}" for error in validator(schema).iter_errors(compose)
    ]
    assert errors == []


def test_the_compose_schema_refuses_a_misspelt_key(compose: dict[str, Any]) -> None:
    schema = json.loads((resources.files("check_jsonschema") / SCHEMA).read_text())
    wrong = json.loads(json.dumps(compose))
    wrong["services"]["edge"]["depend_on"] = wrong["services"]["edge"].pop("depends_on")
    assert not validator_for(schema)(schema).is_valid(wrong)


def test_what_services_refer_to_is_declared_and_used(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    for kind in ("networks", "secrets"):
        used = {name for service in services.values() for name in service.get(kind, [])}
        assert used == set(compose[kind]), kind
    mounts = [mount.partition(":")[0] for s in services.values() for mount in s.get("volumes", [])]
    named = {source for source in mounts if re.fullmatch(r"\w+", source)}
    assert named == set(compose["volumes"])
    for source in mounts:
        if source.startswith("./"):
            assert (PROJECT / source).is_file(), source


def test_services_wait_for_servers_that_tell_their_health(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        for other, wait in service.get("depends_on", {}).items():
            assert other in services
            assert wait == {"condition": "service_healthy"}
        shared = [
            set(service["networks"]) & set(services[o]["networks"])
            for o in service.get("depends_on", {})
        ]
        assert all(shared), f"{name} cannot reach what it waits for"


def test_only_loopback_is_published_and_no_unauthenticated_store_port(
    services: dict[str, dict[str, Any]],
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "seaweedfs": ["127.0.0.1:8333:8333"],
        "postgres": ["127.0.0.1:5432:5432"],
        "edge": ["127.0.0.1:8080:8080"],
        "access": ["127.0.0.1:8081:8081"],
        "webserver": ["127.0.0.1:3000:3000"],
    }


def test_no_container_runs_as_root_or_can_write_its_image(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert service["user"].startswith("${TELEMETRY_UID:?"), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged", False), name
        assert re.fullmatch(r"[\w./-]+:\d[\w.-]*", service["image"]), f"{name}: no fixed release"


def test_no_credential_has_a_value_in_the_compose_file(
    services: dict[str, dict[str, Any]],
) -> None:
    telling = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN|DSN", re.IGNORECASE)
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if telling.search(name):
                assert str(value).startswith("/run/"), f"{name} must name a mounted file"


def test_the_secrets_command_writes_all_that_compose_reads(
    secret_files: Path, compose: dict[str, Any]
) -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    given = dict(line.split("=", 1) for line in (secret_files / "compose.env").read_text().split())
    assert set(_VARIABLE.findall(text)) == set(given)
    assert given["TELEMETRY_SECRETS"] == str(secret_files)
    assert int(given["TELEMETRY_UID"]) > 0
    named = re.findall(r"\$\{TELEMETRY_SECRETS:\?\}/([\w./]+)", text)
    assert len(named) >= len(compose["secrets"])
    for name in named:
        assert (secret_files / name).exists(), name


def test_secret_files_are_private_and_a_second_call_keeps_them(secret_files: Path) -> None:
    files = {path: path.read_bytes() for path in secret_files.rglob("*") if path.is_file()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((secret_files / "edge").stat().st_mode) == 0o700
    make_secret_files(secret_files)
    assert {path: path.read_bytes() for path in files} == files


def test_the_edge_is_given_its_own_keys_alone(
    secret_files: Path, services: dict[str, dict[str, Any]]
) -> None:
    assert services["edge"]["volumes"] == [
        "${TELEMETRY_SECRETS:?}/edge:/run/edge:ro",
        "spool:/data",
    ]
    assert services["edge"]["environment"]["TELEMETRY_SECRETS_DIR"] == "/run/edge"
    assert sorted(path.name for path in (secret_files / "edge").iterdir()) == [
        "api_keys.audit.jsonl",
        "api_keys.json",
        "seal_keys.json",
        "token_keys.json",
    ]


def test_the_access_api_is_given_readers_keys_and_the_readers_password_alone(
    secret_files: Path, services: dict[str, dict[str, Any]]
) -> None:
    assert services["access"]["volumes"] == [
        "${TELEMETRY_SECRETS:?}/access:/run/access:ro",
        "audit:/data",
    ]
    assert services["access"]["env_file"] == ["${TELEMETRY_SECRETS:?}/access.env"]
    names = sorted(path.name for path in (secret_files / "access").iterdir())
    assert names == ["api_keys.audit.jsonl", "api_keys.json"]
    (address,) = (secret_files / "access.env").read_text().splitlines()
    assert address.startswith("TELEMETRY_ACCESS_POSTGRES_DSN=postgresql://telemetry_reader:")


def test_the_containers_database_gets_the_roles_of_the_embedded_one() -> None:
    script = (PROJECT / "deploy" / "docker" / "create-databases.sh").read_text()
    statements = re.findall(r"^    ((?:GRANT|ALTER|CREATE) [^;]+;)", roles.GRANT_READING, re.M)
    assert len(statements) >= 6
    squeezed = " ".join(script.split())
    for statement in [*statements, roles.RECORD_WITHOUT_WAITING.decode()]:
        assert " ".join(statement.split()) in squeezed


def test_dagster_services_get_every_variable_their_configuration_reads(
    secret_files: Path, services: dict[str, dict[str, Any]]
) -> None:
    asked = set()
    for name in ("dagster.yaml", "workspace.yaml"):
        asked |= set(re.findall(r"env: (\w+)", (PROJECT / name).read_text()))
    assert asked
    for name in DAGSTER_SERVICES:
        assert asked <= _environment(services[name], secret_files), name
    profile = (PROJECT / "dbt_project" / "profiles.yml").read_text()
    asked_by_dbt = set(re.findall(r"env_var\('(\w+)'", profile))
    assert asked_by_dbt <= _environment(services["code-server"], secret_files)


def test_the_store_is_started_like_the_embedded_one(services: dict[str, dict[str, Any]]) -> None:
    embedded = (PROJECT / "telemetry_cli" / "embedded" / "seaweed.py").read_text()
    switches = set(re.findall(r'"(-[\w.]+=(?:true|false|0))"', embedded))
    assert {"-master.telemetry=false", "-webdav=false"} <= switches
    assert switches - {"-v=0"} <= set(services["seaweedfs"]["command"])


def _copied(dockerfile: Path) -> set[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def test_the_images_copy_what_exists_and_what_the_build_context_allows() -> None:
    allowed = re.findall(r"^!(\S+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    copied = _copied(PROJECT / "Dockerfile")
    assert copied | _copied(PROJECT / "deploy" / "aws" / "Dockerfile") == set(allowed)
    for source in copied:
        assert (PROJECT / source).exists(), source
    packages = {name for name in _packages_on_disk() if "." not in name}
    # Benchmarks measure a checkout, not a deployment.
    assert packages - {"benchmarks"} <= copied


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["${UID}:${GID}"]


def test_the_package_list_names_every_package() -> None:
    document = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert set(document["tool"]["setuptools"]["packages"]) == _packages_on_disk()


def test_the_lock_pins_every_dependency_with_a_hash() -> None:
    document = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*document["dependencies"], *document["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=; ]", entry)[0].lower().replace("_", "-") for entry in wanted}
    lock = (PROJECT / "requirements.lock").read_text()
    assert names <= set(dict(_PIN.findall(lock)))
    entries = re.split(r"\n(?=[a-z0-9])", lock.strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_image_gets_the_versions_that_the_tests_ran_with() -> None:
    tested = dict(_PIN.findall((PROJECT / "requirements.lock").read_text()))
    shipped = dict(_PIN.findall((PROJECT / "deploy" / "docker" / "requirements.lock").read_text()))
    assert shipped.items() <= tested.items()
    assert "pytest" not in shipped


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("sh", "scripts/find-python"),
        ("sh", "scripts/set-up"),
        ("bash", ".ci/run"),
        ("bash", "deploy/docker/create-databases.sh"),
    ],
)
def test_scripts_parse_and_can_be_executed(shell: str, script: str) -> None:
    path = PROJECT / script
    assert path.stat().st_mode & stat.S_IXUSR
    subprocess.run([shell, "-n", str(path)], check=True)


def _environment(service: dict[str, Any], secret_files: Path) -> set[str]:
    """Return the names of the variables that a service is given."""
    names = set(service.get("environment", {}))
    for file in service.get("env_file", []):
        lines = (secret_files / Path(file).name).read_text().splitlines()
        names |= {line.partition("=")[0] for line in lines}
    return names


def _packages_on_disk() -> set[str]:
    """Return the dotted names of the packages in the tree, without the tests."""
    found = {path.parent.relative_to(PROJECT) for path in PROJECT.glob("[a-z]*/**/__init__.py")}
    return {".".join(path.parts) for path in found if path.parts[0] != "tests"}
