{%- set keys = ['source', 'device_id', 'metric', 'event_hour'] -%}
{%- set event_hour = "date_trunc('hour', event_minute, 'UTC')" -%}

{{ config(
    unique_key=['source', 'device_id', 'metric', 'event_hour'],
    meta={'scope': ['source', 'device_id', 'metric', 'event_hour'], 'tombstone': 'n'},
    indexes=[
        {'columns': ['source', 'device_id', 'metric', 'event_hour'], 'unique': true},
        {'columns': ['metric', 'event_hour']},
    ],
    tags=['all'],
) }}

with

{% if is_hour_run() -%}
touched as (

    {{ touched_keys(['source', 'device_id', 'metric', event_hour ~ ' as event_hour']) }}

),

{% endif -%}
minutes as (

    select
        held.*,
        {{ event_hour }} as event_hour
    {% if is_hour_run() -%}
    {{ from_touched(ref('agg_metric_minutes'), [
        equal(['source', 'device_id', 'metric'], 'held', 'touched'),
        "held.event_minute >= touched.event_hour",
        "held.event_minute < touched.event_hour + interval '1 hour'",
    ]) }}
    {%- else -%}
    from {{ ref('agg_metric_minutes') }} as held
    {%- endif %}

),

{{ merged_ctes('minutes', keys, order_by='event_minute') }},

final as (

    {{ metrics_by_key(keys) }}

)

select * from final
