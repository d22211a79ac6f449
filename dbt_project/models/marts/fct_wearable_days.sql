{{ config(
    unique_key=['device_id', 'event_day'],
    meta={'scope': ['device_id', 'event_day'], 'tombstone': 'reading_count'},
    indexes=[
        {'columns': ['device_id', 'event_day'], 'unique': true},
        {'columns': ['event_day']},
    ],
    tags=['wearable'],
) }}

with

{% if is_hour_run() -%}
touched as (

    {{ touched_keys(
        ['device_id', "(event_hour at time zone 'UTC')::date as event_day"],
        where="source = 'wearable'",
    ) }}

),

{% endif -%}
daily as (

    select held.*
    {% if is_hour_run() -%}
    {{ from_touched(ref('agg_metric_days'), [
        "held.source = 'wearable'",
        "held.metric in ('heart_rate_bpm', 'heart_rate_asleep_bpm', 'step_count')",
        equal(['device_id', 'event_day'], 'held', 'touched'),
    ]) }}
    {%- else -%}
    from {{ ref('agg_metric_days') }} as held
    where
        held.source = 'wearable'
        and held.metric in ('heart_rate_bpm', 'heart_rate_asleep_bpm', 'step_count')
    {%- endif %}

),

minutes as (

    select
        held.device_id,
        held.metric,
        held.event_minute,
        (held.event_minute at time zone 'UTC')::date as event_day,
        held.n,
        held.average
    {% if is_hour_run() -%}
    {{ from_touched(ref('agg_metric_minutes'), [
        "held.source = 'wearable'",
        "held.device_id = touched.device_id",
        "held.metric in ('heart_rate_bpm', 'heart_rate_asleep_bpm')",
        "held.event_minute >= touched.event_day::timestamp at time zone 'UTC'",
        "held.event_minute < (touched.event_day + 1)::timestamp at time zone 'UTC'",
    ]) }}
    {%- else -%}
    from {{ ref('agg_metric_minutes') }} as held
    where
        held.source = 'wearable'
        and held.metric in ('heart_rate_bpm', 'heart_rate_asleep_bpm')
    {%- endif %}

),

half_hours as (

    select
        device_id,
        event_day,
        sum(n * average order by event_minute) / sum(n) as average
    from minutes
    where metric = 'heart_rate_bpm'
    group by
        device_id, event_day, date_bin('30 minutes', event_minute, timestamptz 'epoch')

),

resting as (

    select
        device_id,
        event_day,
        min(average) as resting_heart_rate_bpm
    from half_hours
    group by device_id, event_day

),

asleep as (

    select
        device_id,
        event_day,
        count(*) as asleep_minutes
    from minutes
    where metric = 'heart_rate_asleep_bpm'
    group by device_id, event_day

),

pivoted as (

    select
        device_id,
        event_day,
        max(total) filter (where metric = 'step_count') as steps,
        max(n) filter (where metric = 'heart_rate_asleep_bpm') as asleep_reading_count,
        max(average) filter (where metric = 'heart_rate_asleep_bpm') as asleep_heart_rate_bpm,
        max(average) filter (where metric = 'heart_rate_bpm') as average_heart_rate_bpm,
        max(minimum) filter (where metric = 'heart_rate_bpm') as minimum_heart_rate_bpm,
        max(maximum) filter (where metric = 'heart_rate_bpm') as maximum_heart_rate_bpm,
        max(n) filter (where metric in ('heart_rate_bpm', 'step_count')) as reading_count,
        min(first_at) as first_reading_at,
        max(last_at) as last_reading_at
    from daily
    group by device_id, event_day

),

final as (

    select
        device_id,
        event_day,

        ---------- numbers
        pivoted.reading_count,
        pivoted.steps,
        case when pivoted.device_id is not null then coalesce(asleep.asleep_minutes, 0) end
            as asleep_minutes,
        case when pivoted.device_id is not null then coalesce(pivoted.asleep_reading_count, 0) end
            as asleep_reading_count,
        resting.resting_heart_rate_bpm,
        pivoted.average_heart_rate_bpm,
        pivoted.minimum_heart_rate_bpm,
        pivoted.maximum_heart_rate_bpm,
        pivoted.asleep_heart_rate_bpm,

        ---------- timestamps
        pivoted.first_reading_at,
        pivoted.last_reading_at
    {% if is_hour_run() -%}
    from touched
    left join pivoted using (device_id, event_day)
    {%- else -%}
    from pivoted
    {%- endif %}
    left join resting using (device_id, event_day)
    left join asleep using (device_id, event_day)

)

select * from final
