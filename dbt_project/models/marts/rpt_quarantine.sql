{#- A view: nobody reads it all day, and it must not lag behind a replay. -#}
{{ config(materialized='view') }}

with

quarantined as (

    select * from {{ ref('stg_quarantined_events') }}

),

reasons as (

    select
        quarantined.*,
        reason.ordinality as reason_number,
        reason.document as reason,
        quarantined.payload::jsonb as event_values
    from quarantined
    cross join lateral
        jsonb_array_elements(quarantined.reasons) with ordinality as reason (document, ordinality)

),

final as (

    select
        ---------- ids
        received_hour,
        source,
        event_id,
        device_id,
        receipt_id,

        ---------- reason
        reason ->> 'rule' as rule,
        reason ->> 'dimension' as quality_dimension,
        reason ->> 'field' as field,
        case reason ->> 'field'
            when 'event_time' then to_char(event_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            when 'device_id' then device_id
            else event_values ->> (reason ->> 'field')
        end as field_value,
        reason ->> 'message' as message,
        reason_number::int as reason_number,
        cardinality(rules) as reason_count,

        ---------- provenance
        contract_version,
        judged_by,
        landing_version,
        source_file,
        source_row,

        ---------- everything the event said
        event_values,

        ---------- timestamps
        event_time,
        received_at
    from reasons

)

select * from final
