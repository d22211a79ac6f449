with

source as (

    select * from {{ source('warehouse', 'devices') }}

),

renamed as (

    select
        ---------- ids
        device_id,
        user_id,

        ---------- text
        place_name,
        time_zone,

        ---------- numbers
        latitude,
        longitude,

        ---------- timestamps
        registered_at
    from source

)

select * from renamed
