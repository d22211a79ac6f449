{{ config(
    unique_key=['received_hour', 'source'],
    meta={'scope': 'hour'},
    indexes=[{'columns': ['received_hour', 'source'], 'unique': true}],
    tags=['all'],
) }}

with

ledger as (

    select * from {{ ref('stg_ledger') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {%- endif %}

),

warehouse_counts as (

    select
        received_hour,
        source,
        count(*) as warehouse_rows,
        count(*) filter (where event_time < {{ kept_from() }}) as expired_rows
    from {{ ref('int_events') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {% endif -%}
    group by received_hour, source

),

mart_counts as (

    select
        received_hour,
        source,
        count(*) as mart_rows
    from {{ ref('fct_events') }}
    where
        -- A day that is let go may stand for a while until it is dropped.
        event_time >= {{ kept_from() }}
        {% if is_hour_run() -%}
        and received_hour = {{ arrival_hour() }}
        {% endif -%}
    group by received_hour, source

),

quarantine_counts as (

    select
        received_hour,
        source,
        count(*) as warehouse_quarantined
    from {{ ref('stg_quarantined_events') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {% endif -%}
    group by received_hour, source

),

duplicate_counts as (

    select
        received_hour,
        source,
        count(*) as warehouse_duplicates
    from {{ ref('stg_duplicate_events') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {% endif -%}
    group by received_hour, source

),

minute_counts as (

    select
        received_hour,
        source,
        sum(n)::bigint as warehouse_minute_values
    from {{ ref('stg_metric_partials') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {% endif -%}
    group by received_hour, source

),

hour_counts as (

    select
        received_hour,
        source,
        sum(n)::bigint as warehouse_hour_values
    from {{ ref('stg_hour_partials') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {% endif -%}
    group by received_hour, source

),

-- Rows that the ledger does not know must show as well.
joined as (

    select
        received_hour,
        source,
        coalesce(ledger.accepted, 0) as accepted,
        coalesce(ledger.silver, 0) as silver,
        coalesce(ledger.quarantined, 0) as quarantined,
        coalesce(ledger.duplicates, 0) as duplicates,
        coalesce(ledger.superseded, 0) as superseded,
        coalesce(ledger.erased, 0) as erased,
        coalesce(warehouse_counts.warehouse_rows, 0) as warehouse_rows,
        coalesce(mart_counts.mart_rows, 0) as mart_rows,
        received_hour >= {{ arrivals_kept_from() }} as is_kept,
        coalesce(warehouse_counts.expired_rows, 0) as expired_in_warehouse,
        coalesce(quarantine_counts.warehouse_quarantined, 0) as warehouse_quarantined,
        coalesce(duplicate_counts.warehouse_duplicates, 0) as warehouse_duplicates,
        ledger.metric_values,
        ledger.minute_values,
        ledger.hour_values,
        coalesce(minute_counts.warehouse_minute_values, 0) as warehouse_minute_values,
        coalesce(hour_counts.warehouse_hour_values, 0) as warehouse_hour_values,
        ledger.refined_at
    from ledger
    full join warehouse_counts using (received_hour, source)
    full join mart_counts using (received_hour, source)
    full join quarantine_counts using (received_hour, source)
    full join duplicate_counts using (received_hour, source)
    full join minute_counts using (received_hour, source)
    full join hour_counts using (received_hour, source)

),

final as (

    select
        ---------- ids
        received_hour,
        source,

        ---------- numbers
        accepted,
        silver,
        quarantined,
        duplicates,
        superseded,
        erased,
        warehouse_rows,
        mart_rows,
        case when is_kept then expired_in_warehouse else silver end as expired_rows,
        warehouse_quarantined,
        warehouse_duplicates,
        metric_values,
        minute_values,
        hour_values,
        warehouse_minute_values,
        warehouse_hour_values,
        accepted - silver - quarantined - duplicates - superseded - erased as unaccounted,

        ---------- booleans
        is_kept,
        accepted = silver + quarantined + duplicates + superseded + erased
        -- Of an hour whose day was dropped, the ledger and the partials are left to compare.
        and (
            not is_kept
            or (
                silver = warehouse_rows
                and silver = mart_rows + expired_in_warehouse
                and quarantined = warehouse_quarantined
                and duplicates = warehouse_duplicates
            )
        )
        -- A ledger of an older version does not know its values: there is nothing to compare.
        and (
            metric_values is null
            or (
                metric_values = minute_values
                and metric_values = hour_values
                and metric_values = warehouse_minute_values
                and metric_values = warehouse_hour_values
            )
        ) as adds_up,

        ---------- timestamps
        refined_at
    from joined

)

select * from final
