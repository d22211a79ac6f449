{{ config(materialized='view', tags=['all']) }}

with

contract_rules as (

    select
        received_hour,
        source,
        quality_dimension,
        rule_name,
        field_name,
        severity,
        checked,
        failed
    from {{ ref('stg_rule_outcomes') }}

),

-- What no rule of silver can see: events that the edge refused. One event may have many reasons.
edge_events as (

    select
        received_hour,
        source,
        accepted,
        0 as refused,
        0 as incomplete
    from {{ ref('stg_ledger') }}
    union all
    select
        received_hour,
        source,
        0 as accepted,
        count(distinct row(receipt_id, event_index)) as refused,
        count(distinct row(receipt_id, event_index)) filter (
            where rule_name = 'required'
        ) as incomplete
    from {{ ref('stg_rejected_events') }}
    where source is not null
    group by received_hour, source

),

edge_hours as (

    select
        received_hour,
        source,
        sum(accepted + refused)::bigint as sent,
        sum(refused)::bigint as refused,
        sum(incomplete)::bigint as incomplete
    from edge_events
    group by received_hour, source

),

edge_rules as (

    select
        edge_hours.received_hour,
        edge_hours.source,
        rules.quality_dimension,
        rules.rule_name,
        '' as field_name,
        'error' as severity,
        edge_hours.sent as checked,
        rules.failed
    from edge_hours
    cross join lateral (
        values
        ('completeness', 'edge.required', edge_hours.incomplete),
        ('validity', 'edge.readable', edge_hours.refused - edge_hours.incomplete)
    ) as rules (quality_dimension, rule_name, failed)

),

layer_rules as (

    select
        hours.received_hour,
        hours.source,
        rules.quality_dimension,
        rules.rule_name,
        '' as field_name,
        'error' as severity,
        rules.checked,
        rules.failed
    from {{ ref('rpt_reconciliation') }} as hours
    cross join lateral (
        values
        (
            'consistency',
            'layers.agree',
            greatest(
                hours.accepted,
                hours.silver,
                hours.warehouse_rows,
                hours.mart_rows + hours.expired_rows
            ),
            case
                when hours.is_kept
                    then
                        greatest(
                            hours.silver, hours.warehouse_rows, hours.mart_rows + hours.expired_rows
                        ) - least(
                            hours.silver, hours.warehouse_rows, hours.mart_rows + hours.expired_rows
                        )
                else 0
            end
        ),
        (
            'integrity',
            'layers.account_for_every_event',
            greatest(hours.accepted, hours.accepted - hours.unaccounted),
            abs(hours.unaccounted)
        )
    ) as rules (quality_dimension, rule_name, checked, failed)

),

final as (

    select * from contract_rules
    union all
    select * from edge_rules
    union all
    select * from layer_rules

)

select
    ---------- ids
    received_hour,
    source,

    ---------- text
    quality_dimension,
    rule_name,
    field_name,
    severity,

    ---------- numbers
    checked,
    failed
from final
