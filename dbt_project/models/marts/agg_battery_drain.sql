{{ config(materialized='view') }}

with

sessions as (

    select * from {{ ref('fct_mobile_sessions') }}
    where drain_seconds > 0

),

final as (

    select
        ---------- ids
        device_manufacturer,
        device_model,
        app_name,
        app_version,

        ---------- numbers
        count(*) as session_count,
        count(distinct device_id) as device_count,
        sum(drain_seconds) / 3600 as hours,
        sum(first_battery_level_percent - last_battery_level_percent) as drained_percent,
        3600 * sum(first_battery_level_percent - last_battery_level_percent) / sum(drain_seconds)
            as percent_per_hour
    from sessions
    group by device_manufacturer, device_model, app_name, app_version

)

select * from final
