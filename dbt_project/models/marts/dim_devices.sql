{{ config(materialized='view') }}

with

versions as (

    select * from {{ ref('int_device_versions') }}

),

registry as (

    select * from {{ ref('int_registered_devices') }}

),

-- A registered device that has not reported yet is a device too.
silent as (

    select
        device_id,
        min(registry.registered_at) as registered_at
    from registry
    left join versions using (device_id)
    where versions.device_id is null
    group by device_id

),

observed as (

    select
        versions.source,
        versions.device_id,
        versions.valid_from,
        versions.valid_to,
        versions.attributes
    from versions
    union all
    select
        null as source,
        silent.device_id,
        silent.registered_at as valid_from,
        null as valid_to,
        '{}'::jsonb as attributes
    from silent

),

-- What a device says of itself and what the registry says of it change independently: a version
-- is a span in which neither did.
spans as (

    select
        observed.source,
        observed.device_id,
        observed.attributes,
        registry.user_id,
        registry.place_name,
        registry.time_zone,
        registry.latitude,
        registry.longitude,
        registry.registered_at,
        registry.device_id is not null as is_registered,
        nullif(greatest(observed.valid_from, registry.valid_from), timestamptz '-infinity')
            as valid_from,
        nullif(
            least(coalesce(observed.valid_to, timestamptz 'infinity'), registry.valid_to),
            timestamptz 'infinity'
        ) as valid_to
    from observed
    left join registry
        on observed.device_id = registry.device_id
        and coalesce(observed.valid_from, timestamptz '-infinity') < registry.valid_to
        and coalesce(observed.valid_to, timestamptz 'infinity') > registry.valid_from

),

final as (

    select
        ---------- ids
        md5(concat_ws('|', spans.source, spans.device_id, extract(epoch from spans.valid_from)))
            as device_version_id,
        spans.source,
        spans.device_id,
        spans.user_id,
        spans.attributes ->> 'location_id' as location_id,

        ---------- text
        spans.attributes ->> 'location_name' as location_name,
        spans.attributes ->> 'sensor_type' as sensor_type,
        spans.attributes ->> 'device_label' as device_label,
        spans.attributes ->> 'device_model' as device_model,
        spans.attributes ->> 'device_manufacturer' as device_manufacturer,
        spans.attributes ->> 'os_name' as os_name,
        spans.place_name,
        spans.time_zone,

        ---------- numbers
        coalesce((spans.attributes ->> 'latitude')::float8, spans.latitude) as latitude,
        coalesce((spans.attributes ->> 'longitude')::float8, spans.longitude) as longitude,
        (spans.attributes ->> 'altitude_m')::float8 as altitude_m,

        ---------- everything the device says of itself
        spans.attributes,

        ---------- booleans
        spans.valid_to is null as is_current,
        spans.is_registered,

        ---------- timestamps
        spans.valid_from,
        spans.valid_to,
        spans.registered_at
    from spans

)

select * from final
