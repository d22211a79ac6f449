with

source as (

    select * from {{ source('warehouse', 'environment') }}

),

renamed as (

    select
        ---------- ids
        event_id,
        source,
        device_id,
        receipt_id,
        correction_id,
        shape,
        source_file,
        source_row,
        location_id,

        ---------- text
        contract_version,
        extras::jsonb as extras,
        geohash,
        time_zone,
        location_name,
        sensor_type,
        device_label,

        ---------- numbers
        token_key_version,
        temperature_celsius,
        relative_humidity_percent,
        pressure_hpa,
        carbon_monoxide_ppm,
        lpg_ppm,
        smoke_ppm,
        illuminance_lux,
        latitude,
        longitude,
        altitude_m,
        dew_point_celsius,
        heat_index_celsius,

        ---------- booleans
        light_detected,
        motion_detected,

        ---------- timestamps
        event_time,
        local_time,
        received_at,
        received_hour
    from source

)

select * from renamed
