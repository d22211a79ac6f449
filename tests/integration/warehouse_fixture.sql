-- The warehouse tables that the dbt project reads, without the partitions and the retention of the real ones.
create schema warehouse;

create table warehouse.mobile (
    event_id text not null, source text not null, device_id text not null,
    event_time timestamptz not null, received_at timestamptz not null,
    received_hour timestamptz not null, receipt_id text not null, correction_id text, contract_version text not null,
    token_key_version int, shape text, source_file text, source_row bigint, extras text,
    device_model text, device_manufacturer text, device_sdk bigint, os_name text,
    battery_level_percent float8, battery_charging bool, wifi_name text, wifi_ip text,
    connectivity text, app_name text, app_version text, app_build_number text,
    accelerometer_x_ms2 float8, accelerometer_y_ms2 float8, accelerometer_z_ms2 float8,
    session_id text, user_email text, latitude float8, longitude float8,
    geohash text, time_zone text, local_time timestamp
);

create table warehouse.environment (
    event_id text not null, source text not null, device_id text not null,
    event_time timestamptz not null, received_at timestamptz not null,
    received_hour timestamptz not null, receipt_id text not null, correction_id text, contract_version text not null,
    token_key_version int, shape text, source_file text, source_row bigint, extras text,
    temperature_celsius float8, relative_humidity_percent float8, pressure_hpa float8,
    carbon_monoxide_ppm float8, lpg_ppm float8, smoke_ppm float8, illuminance_lux float8,
    light_detected bool, motion_detected bool, latitude float8, longitude float8, altitude_m float8,
    location_id text, location_name text, sensor_type text, device_label text,
    dew_point_celsius float8, heat_index_celsius float8,
    geohash text, time_zone text, local_time timestamp
);

create table warehouse.wearable (
    event_id text not null, source text not null, device_id text not null,
    event_time timestamptz not null, received_at timestamptz not null,
    received_hour timestamptz not null, receipt_id text not null, correction_id text, contract_version text not null,
    token_key_version int, shape text, source_file text, source_row bigint, extras text,
    heart_rate_bpm float8, step_count float8, sleep_state text, user_email text,
    heart_rate_asleep_bpm float8, time_zone text, local_time timestamp
);

create table warehouse.metric_partials (
    received_hour timestamptz not null, source text not null, device_id text not null,
    source_file text not null, metric text not null, event_minute timestamptz not null,
    n bigint not null, mean float8, m2 float8, total float8, minimum float8, maximum float8,
    first_value float8, first_at timestamptz, last_value float8, last_at timestamptz
);

create table warehouse.hour_partials (
    received_hour timestamptz not null, source text not null, device_id text not null,
    source_file text not null, metric text not null, event_hour timestamptz not null,
    n bigint not null, mean float8, m2 float8, total float8, minimum float8, maximum float8,
    first_value float8, first_at timestamptz, last_value float8, last_at timestamptz
);

create table warehouse.device_profiles (
    received_hour timestamptz not null, source text not null, device_id text not null,
    valid_from timestamptz not null, valid_to timestamptz not null, attributes jsonb not null,
    n bigint not null
);

create table warehouse.quarantine (
    received_hour timestamptz not null, source text not null, event_id text, device_id text,
    event_time timestamptz, received_at timestamptz, receipt_id text, contract_version text,
    rules text[], reasons jsonb, payload text, judged_by text, landing_version bigint,
    source_file text, source_row bigint
);

create table warehouse.duplicates (
    received_hour timestamptz not null, source text not null, event_id text, receipt_id text,
    received_at timestamptz, first_receipt_id text, first_received_at timestamptz
);

create table warehouse.superseded (
    received_hour timestamptz not null, source text not null, event_id text,
    corrected_event_id text, device_id text, event_time timestamptz, received_at timestamptz,
    receipt_id text, fate text, correction_id text, correction_receipt_id text,
    correction_received_at timestamptz
);

create table warehouse.rejected (
    received_hour timestamptz not null, source text not null, receipt_id text, event_index int,
    stage text, rule text, field text, message text, received_at timestamptz
);

create table warehouse.ledger (
    received_hour timestamptz not null, source text not null, accepted bigint not null,
    silver bigint not null, quarantined bigint not null, duplicates bigint not null,
    superseded bigint, erased bigint not null, metric_values bigint, minute_values bigint, hour_values bigint,
    refined_at timestamptz
);

create table warehouse.rule_outcomes (
    received_hour timestamptz not null, source text not null, dimension text not null,
    rule text not null, field text, severity text, checked bigint not null, failed bigint not null
);

create table warehouse.devices (
    device_id text, user_id text, place_name text, latitude float8, longitude float8,
    time_zone text, registered_at timestamptz
);

create table warehouse.users (user_id text, birth_year int, sex text);

create index on warehouse.mobile (received_hour);
create index on warehouse.mobile (session_id);
create index on warehouse.environment (received_hour);
create index on warehouse.wearable (received_hour);
create index on warehouse.metric_partials (received_hour);
create index on warehouse.metric_partials (source, device_id, metric, event_minute);
create index on warehouse.metric_partials (source_file, source, device_id, metric)
    where source_file <> '';
create index on warehouse.device_profiles (received_hour, source, device_id);
create index on warehouse.device_profiles (source, device_id);
create index on warehouse.rejected (received_hour);
create index on warehouse.ledger (received_hour);
create index on warehouse.rule_outcomes (received_hour);
