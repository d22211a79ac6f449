with

source as (

    select * from {{ source('warehouse', 'hour_partials') }}

),

renamed as (

    select
        ---------- ids
        source,
        device_id,
        source_file,
        metric,

        ---------- numbers
        n,
        mean as average,
        m2,
        total,
        minimum,
        maximum,
        first_value,
        last_value,

        ---------- timestamps
        received_hour,
        event_hour,
        first_at,
        last_at
    from source

)

select * from renamed
