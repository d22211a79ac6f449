with

source as (

    select * from {{ source('warehouse', 'retention') }}

),

-- One row, also when nothing was ever dropped. Arrivals are kept for a day more, because a device's
-- clock may run ahead of the edge's.
renamed as (

    select
        coalesce(max(kept_from)::timestamp at time zone 'UTC', '-infinity') as kept_from,
        coalesce((max(kept_from) - 1)::timestamp at time zone 'UTC', '-infinity')
            as arrivals_kept_from
    from source

)

select * from renamed
