with

source as (

    select * from {{ source('warehouse', 'wearable') }}

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

        ---------- text
        contract_version,
        extras::jsonb as extras,
        time_zone,
        sleep_state,
        user_email,

        ---------- numbers
        token_key_version,
        heart_rate_bpm,
        step_count,
        heart_rate_asleep_bpm,

        ---------- timestamps
        event_time,
        local_time,
        received_at,
        received_hour
    from source

)

select * from renamed
