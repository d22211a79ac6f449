with

registry as (

    select * from {{ ref('stg_devices') }}

),

-- The first registration stands for the time before it, too: archives are older than registries.
final as (

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
        registered_at,
        case
            when lag(device_id) over by_time is null then timestamptz '-infinity'
            else registered_at
        end as valid_from,
        coalesce(lead(registered_at) over by_time, timestamptz 'infinity') as valid_to
    from registry
    window by_time as (partition by device_id order by registered_at nulls first)

)

select * from final
