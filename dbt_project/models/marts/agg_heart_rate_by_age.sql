{%- set keys = ['event_day', 'age_group'] -%}

{{ config(materialized='view') }}

with

days as (

    select * from {{ ref('agg_metric_days') }}
    where metric = 'heart_rate_bpm'

),

devices as (

    select * from {{ ref('int_registered_devices') }}

),

users as (

    select * from {{ ref('stg_users') }}

),

aged as (

    select
        days.*,
        {{ age_group("extract(year from days.event_day) - users.birth_year") }} as age_group
    from days
    left join devices
        on days.device_id = devices.device_id
        and days.last_at >= devices.valid_from
        and days.last_at < devices.valid_to
    left join users using (user_id)

),

device_counts as (

    select
        event_day,
        age_group,
        count(distinct device_id) as device_count
    from aged
    group by event_day, age_group

),

{{ merged_ctes('aged', keys, order_by='source, device_id') }},

final as (

    select
        event_day,
        age_group,
        device_counts.device_count,

        ---------- statistics
        merged.n,
        merged.average,
        merged.minimum,
        merged.maximum,
        case when merged.n > 1 then sqrt(merged.m2 / (merged.n - 1)) end as standard_deviation,
        merged.total,

        ---------- ends
        merged.first_value,
        merged.last_value
    from merged
    inner join device_counts using (event_day, age_group)

)

select * from final
