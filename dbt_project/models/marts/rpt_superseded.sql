{#- A view: it is asked for single events, and must not lag behind silver. -#}
{{ config(materialized='view') }}

with

superseded as (

    select * from {{ ref('stg_superseded_events') }}

),

final as (

    select
        ---------- ids
        received_hour,
        source,
        event_id,
        corrected_event_id,
        device_id,
        receipt_id,
        correction_id,
        correction_receipt_id,

        ---------- text
        fate,

        ---------- timestamps
        event_time,
        received_at,
        correction_received_at
    from superseded

)

select * from final
