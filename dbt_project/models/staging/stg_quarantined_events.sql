with

source as (

    select * from {{ source('warehouse', 'quarantine') }}

),

renamed as (

    select
        ---------- ids
        source,
        event_id,
        device_id,
        receipt_id,

        ---------- text
        contract_version,
        rules,
        reasons,
        payload,

        ---------- timestamps
        received_hour,
        event_time,
        received_at
    from source

)

select * from renamed
