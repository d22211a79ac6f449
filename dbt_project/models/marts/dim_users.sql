{{ config(materialized='view') }}

with

users as (

    select * from {{ ref('stg_users') }}

),

devices as (

    select * from {{ ref('stg_devices') }}

),

device_counts as (

    select
        user_id,
        count(distinct device_id) as device_count
    from devices
    group by user_id

),

final as (

    select
        ---------- ids
        user_id,

        ---------- text
        users.sex,
        {{ age_group("extract(year from now() at time zone 'UTC') - users.birth_year") }}
            as age_group,

        ---------- numbers
        users.birth_year,
        coalesce(device_counts.device_count, 0) as device_count
    from users
    left join device_counts using (user_id)

)

select * from final
