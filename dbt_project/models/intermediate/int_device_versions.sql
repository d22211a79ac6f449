{{ config(
    materialized='incremental',
    unique_key=['source', 'device_id', 'valid_from'],
    meta={'scope': ['source', 'device_id'], 'tombstone': 'valid_from'},
    indexes=[
        {'columns': ['source', 'device_id', 'valid_from'], 'unique': true},
        {'columns': ['received_hour']},
    ],
    tags=['all'],
) }}

with

-- Not materialized: read three times, each time by an index.
profiles as not materialized (

    select * from {{ ref('stg_device_profiles') }}
    where event_count > 0

),

{% if is_hour_run() %}
-- A run of attributes that lies inside a version with the same attributes changes nothing, so a
-- device that only goes on as before costs nothing, however long its history.
changed as (

    select
        profiles.source,
        profiles.device_id
    from profiles
    where
        profiles.received_hour = {{ arrival_hour() }}
        and not exists (
            select 1
            from {{ this }} as versions
            where
                versions.source = profiles.source
                and versions.device_id = profiles.device_id
                and versions.attributes = profiles.attributes
                and versions.valid_from <= profiles.valid_from
                and (versions.valid_to is null or versions.valid_to > profiles.valid_to)
        )

),

-- A version stands as long as the observation that opened it: the hour may have taken it back.
withdrawn as (

    select
        versions.source,
        versions.device_id
    from {{ this }} as versions
    where
        versions.received_hour = {{ arrival_hour() }}
        and not exists (
            select 1
            from profiles
            where
                profiles.received_hour = versions.received_hour
                and profiles.source = versions.source
                and profiles.device_id = versions.device_id
                and profiles.attributes = versions.attributes
                and versions.valid_from in (profiles.valid_from, profiles.valid_to)
        )

),

touched as (

    select * from changed
    union
    select * from withdrawn

),

{% endif -%}
-- Both ends of a run are observations: runs of different arrival hours may overlap in event time.
observations as (

    select
        held.source,
        held.device_id,
        held.attributes,
        held.received_hour,
        ends.observed_at
    {% if is_hour_run() -%}
    {{ from_touched('profiles', [equal(['source', 'device_id'], 'held', 'touched')]) }}
    {%- else -%}
    from profiles as held
    {%- endif %}
    cross join lateral (values (held.valid_from), (held.valid_to)) as ends (observed_at)

),

-- Of two statements about one moment the later arrival holds.
settled as (

    select distinct on (source, device_id, observed_at) *
    from observations
    order by source, device_id, observed_at, received_hour desc, attributes

),

compared as (

    select
        *,
        (
            attributes is distinct from lag(attributes) over (
                partition by source, device_id order by observed_at
            )
        ) as is_change
    from settled

),

versions as (

    select
        source,
        device_id,
        observed_at as valid_from,
        lead(observed_at) over (
            partition by source, device_id order by observed_at
        ) as valid_to,
        attributes,
        received_hour
    from compared
    where is_change

)

{% if is_hour_run() -%}
select
    source,
    device_id,
    versions.valid_from,
    versions.valid_to,
    versions.attributes,
    versions.received_hour
from touched
left join versions using (source, device_id)
{%- else -%}
select * from versions
{%- endif %}
