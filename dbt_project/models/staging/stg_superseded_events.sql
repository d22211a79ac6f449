with

source as (

    select * from {{ source('warehouse', 'superseded') }}

),

renamed as (

    select
        ---------- ids
        source,
        event_id,
        corrected_event_id,
        device_id,
        receipt_id,
        correction_id,
        correction_receipt_id,

        ---------- text
        fate,

        ---------- timestamps
        event_time,
        received_hour,
        received_at,
        correction_received_at
    from source

)

select * from renamed
