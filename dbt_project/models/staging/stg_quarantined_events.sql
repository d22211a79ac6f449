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

        ---------- provenance
        source_file,
        source_row,
        landing_version,

        ---------- text
        contract_version,
        judged_by,
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
