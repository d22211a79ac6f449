with

source as (

    select * from {{ source('warehouse', 'device_profiles') }}

),

renamed as (

    select
        ---------- ids
        source,
        device_id,

        ---------- text
        attributes,

        ---------- numbers
        n as event_count,

        ---------- timestamps
        received_hour,
        valid_from,
        valid_to
    from source

)

select * from renamed
