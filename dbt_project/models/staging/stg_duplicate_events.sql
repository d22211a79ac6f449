with

source as (

    select * from {{ source('warehouse', 'duplicates') }}

),

renamed as (

    select
        ---------- ids
        source,
        event_id,
        receipt_id,
        first_receipt_id,

        ---------- timestamps
        received_hour,
        received_at,
        first_received_at
    from source

)

select * from renamed
