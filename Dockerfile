# One image for every process of ours: edge, access API, code server, webserver, daemon, and the object store,
# whose program comes as a locked package. docker-compose.yml says what each container runs.

ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY deploy/docker/requirements.lock /tmp/requirements.lock
# Compiles bytecode too: imports are most of a run's start.
RUN pip install --require-hashes --no-deps --only-binary :all: -r /tmp/requirements.lock
WORKDIR /app
COPY dagster.yaml workspace.yaml ./
COPY telemetry_contracts telemetry_contracts
COPY telemetry_platform telemetry_platform
COPY ingest_lambda ingest_lambda
COPY telemetry_assets telemetry_assets
COPY access_api access_api
COPY device_sim device_sim
COPY telemetry_cli telemetry_cli
COPY dbt_project dbt_project
ENV PYTHONPATH=/app TELEMETRY_HOME=/var/lib/telemetry \
    DBT_TARGET_PATH=/var/lib/telemetry/dbt/target DBT_LOG_PATH=/var/lib/telemetry/dbt/logs \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1
# The dbt project is parsed once, here; a container with another project parses it again by itself.
RUN python -m compileall -q /app \
    && mkdir -p /var/lib/telemetry/dagster /var/lib/telemetry/dbt/logs \
    && ln -s /app/dagster.yaml /var/lib/telemetry/dagster/dagster.yaml \
    && python -c "from telemetry_assets.dbt_lineage import prepare; from telemetry_platform.settings import get_settings; prepare(get_settings())" \
    && ln -s "$(python -c 'from telemetry_cli.embedded.seaweed import weed_binary; print(weed_binary())')" /usr/local/bin/weed

FROM ${PYTHON_IMAGE}
# The owner of the mounted secrets: files of mode 0600 can be read by nobody else.
ARG UID=10001
ARG GID=10001
RUN test "${UID}" -ne 0 \
    && (getent group "${GID}" || groupadd --gid "${GID}" telemetry) \
    && (getent passwd "${UID}" \
        || useradd --uid "${UID}" --gid "${GID}" --no-create-home --home-dir /tmp telemetry) \
    && install --directory --owner "${UID}" --group "${GID}" --mode 0700 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /usr/local/bin/weed /usr/local/bin/weed
COPY --from=build /app /app
COPY --from=build --chown=${UID}:${GID} /var/lib/telemetry /var/lib/telemetry
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp TZ=UTC MALLOC_ARENA_MAX=2 \
    TELEMETRY_HOME=/var/lib/telemetry DAGSTER_HOME=/var/lib/telemetry/dagster \
    DBT_TARGET_PATH=/var/lib/telemetry/dbt/target DBT_LOG_PATH=/var/lib/telemetry/dbt/logs \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1 AWS_EC2_METADATA_DISABLED=true
WORKDIR /app
USER ${UID}:${GID}
CMD ["python", "-m", "telemetry_cli", "--help"]
