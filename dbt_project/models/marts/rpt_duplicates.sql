{#- A view: it is asked for single events, and must not lag behind silver. -#}
{{ config(materialized='view') }}

with

duplicates as (

    select * from {{ ref('stg_duplicate_events') }}

),

final as (

    select
        ---------- ids
        received_hour,
        source,
        event_id,
        receipt_id,
        first_receipt_id,

        ---------- timestamps
        received_at,
        first_received_at
    from duplicates

)

select * from final
