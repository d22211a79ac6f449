{%- set keys = ['source', 'device_id', 'metric', 'event_hour'] -%}

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

    {{ touched_keys(keys) }}

),

{% endif -%}
partials as (

    select held.*
    {% if is_hour_run() -%}
    {{ from_touched(ref('stg_hour_partials'), [equal(keys, 'held', 'touched')]) }}
    {%- else -%}
    from {{ ref('stg_hour_partials') }} as held
    {%- endif %}
    where held.n > 0

),

{{ merged_ctes('partials', keys, order_by='received_hour, source_file') }},

final as (

    {{ metrics_by_key(keys) }}

)

select * from final
