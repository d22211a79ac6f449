#!/bin/bash
# Run by the database's image at its first start: the two roles and the two databases.
# What telemetry_cli/embedded/postgres.py and roles.py do for the embedded server.
set -euo pipefail

# psql reads the password from the file and quotes it: it appears in no argument list.
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat "${POSTGRES_OWNER_PASSWORD_FILE:-/run/secrets/postgres_password}"`
\set reader_password `cat "${POSTGRES_READER_PASSWORD_FILE:-/run/secrets/postgres_reader_password}"`
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
CREATE ROLE telemetry LOGIN PASSWORD :'password';
CREATE DATABASE telemetry OWNER telemetry;
CREATE DATABASE dagster OWNER telemetry;
ALTER DATABASE dagster SET synchronous_commit = off;
REVOKE ALL ON DATABASE telemetry, dagster FROM PUBLIC;
CREATE ROLE telemetry_reader LOGIN PASSWORD :'reader_password';
GRANT CONNECT ON DATABASE telemetry TO telemetry_reader;
ALTER ROLE telemetry_reader SET default_transaction_read_only = on;
ALTER ROLE telemetry_reader SET statement_timeout = '60s';
ALTER ROLE telemetry_reader SET idle_in_transaction_session_timeout = '60s';
\connect telemetry
CREATE SCHEMA IF NOT EXISTS marts AUTHORIZATION telemetry;
GRANT USAGE ON SCHEMA marts TO telemetry_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA marts TO telemetry_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE telemetry IN SCHEMA marts
    GRANT SELECT ON TABLES TO telemetry_reader;
SQL
