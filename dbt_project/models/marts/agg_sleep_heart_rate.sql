{{ config(materialized='view') }}

with

days as not materialized (

    select * from {{ ref('agg_metric_days') }}
    where source = 'wearable'

),

asleep as (

    select * from days
    where metric = 'heart_rate_asleep_bpm'

),

all_readings as (

    select * from days
    where metric = 'heart_rate_bpm'

),

-- The day's readings less those asleep: counts and totals can be taken apart, extremes cannot.
final as (

    select
        ---------- ids
        asleep.device_id,
        asleep.event_day,

        ---------- asleep
        asleep.n,
        asleep.average,
        asleep.minimum,
        asleep.maximum,
        asleep.standard_deviation,
        asleep.total,
        asleep.first_value,
        asleep.last_value,

        ---------- awake
        all_readings.n - asleep.n as awake_n,
        (all_readings.total - asleep.total) / nullif(all_readings.n - asleep.n, 0)
            as awake_average
    from asleep
    inner join all_readings using (device_id, event_day)

)

select
    *,
    100 * (1 - average / nullif(awake_average, 0)) as dip_percent
from final
