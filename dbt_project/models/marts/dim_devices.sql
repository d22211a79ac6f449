{{ config(materialized='view') }}

with

versions as (

    select * from {{ ref('int_device_versions') }}

),

registry as (

    select * from {{ ref('stg_devices') }}

),

-- A registered device that has not reported yet is a device too.
silent as (

    select registry.* from registry
    left join versions using (device_id)
    where versions.device_id is null

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

final as (

    select
        ---------- ids
        md5(concat_ws('|', observed.source, device_id, extract(epoch from observed.valid_from)))
            as device_version_id,
        observed.source,
        device_id,
        registry.user_id,
        observed.attributes ->> 'location_id' as location_id,

        ---------- text
        observed.attributes ->> 'location_name' as location_name,
        observed.attributes ->> 'sensor_type' as sensor_type,
        observed.attributes ->> 'device_label' as device_label,
        observed.attributes ->> 'device_model' as device_model,
        observed.attributes ->> 'device_manufacturer' as device_manufacturer,
        observed.attributes ->> 'os_name' as os_name,
        registry.place_name,
        registry.time_zone,

        ---------- numbers
        coalesce((observed.attributes ->> 'latitude')::float8, registry.latitude) as latitude,
        coalesce((observed.attributes ->> 'longitude')::float8, registry.longitude) as longitude,
        (observed.attributes ->> 'altitude_m')::float8 as altitude_m,

        ---------- everything the device says of itself
        observed.attributes,

        ---------- booleans
        observed.valid_to is null as is_current,
        registry.device_id is not null as is_registered,

        ---------- timestamps
        observed.valid_from,
        observed.valid_to,
        registry.registered_at
    from observed
    left join registry using (device_id)

)

select * from final
