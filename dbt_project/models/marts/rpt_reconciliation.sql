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
        count(*) as warehouse_rows
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
        coalesce(ledger.erased, 0) as erased,
        coalesce(warehouse_counts.warehouse_rows, 0) as warehouse_rows,
        coalesce(mart_counts.mart_rows, 0) as mart_rows,
        ledger.refined_at
    from ledger
    full join warehouse_counts using (received_hour, source)
    full join mart_counts using (received_hour, source)

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
        erased,
        warehouse_rows,
        mart_rows,
        accepted - silver - quarantined - duplicates - erased as unaccounted,

        ---------- booleans
        accepted = silver + quarantined + duplicates + erased
        and silver = warehouse_rows
        and silver = mart_rows as adds_up,

        ---------- timestamps
        refined_at
    from joined

)

select * from final
