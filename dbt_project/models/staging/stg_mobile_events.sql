with

source as (

    select * from {{ source('warehouse', 'mobile') }}

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
        session_id,

        ---------- text
        contract_version,
        extras::jsonb as extras,
        geohash,
        time_zone,
        device_model,
        device_manufacturer,
        os_name,
        wifi_name,
        wifi_ip,
        connectivity,
        app_name,
        app_version,
        app_build_number,
        user_email,

        ---------- numbers
        token_key_version,
        device_sdk,
        battery_level_percent,
        accelerometer_x_ms2,
        accelerometer_y_ms2,
        accelerometer_z_ms2,
        latitude,
        longitude,

        ---------- booleans
        battery_charging,

        ---------- timestamps
        event_time,
        local_time,
        received_at,
        received_hour
    from source

)

select * from renamed
