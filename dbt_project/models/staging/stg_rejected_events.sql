with

source as (

    select * from {{ source('warehouse', 'rejected') }}

),

renamed as (

    select
        ---------- ids
        source,
        receipt_id,
        event_index,

        ---------- text
        stage,
        rule as rule_name,
        field as field_name,
        message,

        ---------- timestamps
        received_hour,
        received_at
    from source

)

select * from renamed
