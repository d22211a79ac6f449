{%- set keys = ['source', 'device_id', 'metric', 'event_day'] -%}

{{ config(
    unique_key=['source', 'device_id', 'metric', 'event_day'],
    meta={'scope': ['source', 'device_id', 'metric', 'event_day'], 'tombstone': 'n'},
    indexes=[
        {'columns': ['source', 'device_id', 'metric', 'event_day'], 'unique': true},
        {'columns': ['metric', 'event_day']},
    ],
    tags=['all'],
) }}

with

{% if is_hour_run() -%}
touched as (

    {{ touched_keys([
        'source', 'device_id', 'metric', "(event_hour at time zone 'UTC')::date as event_day"
    ]) }}

),

{% endif -%}
hours as (

    select
        held.*,
        (held.event_hour at time zone 'UTC')::date as event_day
    {% if is_hour_run() -%}
    {{ from_touched(ref('agg_metric_hours'), [
        equal(['source', 'device_id', 'metric'], 'held', 'touched'),
        "held.event_hour >= touched.event_day::timestamp at time zone 'UTC'",
        "held.event_hour < (touched.event_day + 1)::timestamp at time zone 'UTC'",
    ]) }}
    {%- else -%}
    from {{ ref('agg_metric_hours') }} as held
    {%- endif %}

),

{{ merged_ctes('hours', keys, order_by='event_hour') }},

final as (

    {{ metrics_by_key(keys) }}

)

select * from final
