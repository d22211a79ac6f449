{%- set keys = ['source', 'device_id', 'metric', 'event_minute'] -%}

{#- A view: most minutes are one partial, so a table would hold every partial twice. -#}
{{ config(materialized='view') }}

with

partials as (

    select * from {{ ref('stg_metric_partials') }}
    where n > 0

),

{{ merged_ctes('partials', keys, order_by='received_hour, source_file') }},

final as (

    {{ metrics_by_key(keys) }}

)

select * from final
