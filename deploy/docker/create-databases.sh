#!/bin/bash
# Run by the database's image at its first start: the owner role and the two databases.
# What telemetry_cli/embedded/postgres.py does for the embedded server.
set -euo pipefail

# psql reads the password from the file and quotes it: it appears in no argument list.
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat "${POSTGRES_OWNER_PASSWORD_FILE:-/run/secrets/postgres_password}"`
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
CREATE ROLE telemetry LOGIN PASSWORD :'password';
CREATE DATABASE telemetry OWNER telemetry;
CREATE DATABASE dagster OWNER telemetry;
SQL
