{{ config(materialized='view') }}

{#- A watch that is silent for longer than this may have been taken off. -#}
{%- set longest_gap = "interval '30 minutes'" -%}

with

samples as (

    select * from {{ ref('stg_wearable_events') }}
    where sleep_state is not null

),

compared as (

    select
        *,
        coalesce(
            lag(sleep_state) over by_time <> 'asleep'
            or event_time - lag(event_time) over by_time > {{ longest_gap }},
            true
        ) as begins
    from samples
    window by_time as (partition by device_id order by event_time, event_id)

),

asleep as (

    select
        *,
        count(*) filter (where begins) over (
            partition by device_id order by event_time, event_id
        ) as episode
    from compared
    where sleep_state = 'asleep'

),

final as (

    select
        ---------- ids
        device_id,

        ---------- numbers
        extract(epoch from max(event_time) - min(event_time))::float8 as duration_seconds,
        count(*) as sample_count,
        avg(heart_rate_bpm order by event_time, event_id) as average_heart_rate_bpm,
        min(heart_rate_bpm) as minimum_heart_rate_bpm,

        ---------- timestamps
        min(event_time) as started_at,
        max(event_time) as ended_at,
        min(local_time) as local_started_at,
        max(local_time) as local_ended_at
    from asleep
    group by device_id, episode
    having min(event_time) >= {{ kept_from() }}

)

select * from final
