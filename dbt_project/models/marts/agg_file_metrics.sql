{%- set keys = ['source', 'source_file', 'device_id', 'metric'] -%}

{{ config(
    unique_key=['source', 'source_file', 'device_id', 'metric'],
    meta={'scope': ['source', 'source_file', 'device_id', 'metric'], 'tombstone': 'n'},
    indexes=[
        {'columns': ['source', 'source_file', 'device_id', 'metric'], 'unique': true},
        {'columns': ['source_file']},
        {'columns': ['device_id', 'metric']},
    ],
    tags=['all'],
) }}

with

{% if is_hour_run() -%}
touched as (

    {{ touched_keys(keys, where="source_file <> ''") }}

),

{% endif -%}
partials as (

    select held.*
    {% if is_hour_run() -%}
    {{ from_touched(ref('stg_hour_partials'), [equal(keys, 'held', 'touched'), "held.source_file <> ''"]) }}
    {%- else -%}
    from {{ ref('stg_hour_partials') }} as held
    {%- endif %}
    where held.n > 0 and held.source_file <> ''

),

{{ merged_ctes('partials', keys, order_by='event_hour, received_hour') }},

final as (

    {{ metrics_by_key(keys) }}

)

select * from final
