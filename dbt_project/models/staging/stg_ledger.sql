with

source as (

    select * from {{ source('warehouse', 'ledger') }}

),

renamed as (

    select
        ---------- ids
        source,

        ---------- numbers
        accepted,
        silver,
        quarantined,
        duplicates,
        superseded,
        erased,
        metric_values,
        minute_values,
        hour_values,

        ---------- timestamps
        received_hour,
        refined_at
    from source

)

select * from renamed
