{{ config(
    unique_key=['received_hour', 'source'],
    meta={'scope': 'hour'},
    indexes=[{'columns': ['received_hour', 'source'], 'unique': true}],
    tags=['all'],
) }}

{%- set percentiles = 'array[0.5, 0.95, 0.99]' %}

with

ledger as (

    select * from {{ ref('stg_ledger') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {%- endif %}

),

-- The edge names every reason of a rejected event; the event counts once.
rejections as (

    select
        received_hour,
        source,
        count(distinct row(receipt_id, event_index)) as rejected
    from {{ ref('stg_rejected_events') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {% endif -%}
    group by received_hour, source

),

events as (

    select
        received_hour,
        source,
        count(*) as event_count,
        count(distinct device_id) as device_count,
        percentile_cont({{ percentiles }}) within group (
            order by extract(epoch from loaded_at - received_at)::float8
        ) as load_seconds,
        max(extract(epoch from loaded_at - received_at)::float8) as load_seconds_maximum,
        percentile_cont({{ percentiles }}) within group (
            order by lateness_seconds
        ) as lateness_seconds
    from {{ ref('fct_events') }}
    {% if is_hour_run() -%}
    where received_hour = {{ arrival_hour() }}
    {% endif -%}
    group by received_hour, source

),

joined as (

    select
        received_hour,
        source,
        coalesce(ledger.accepted, 0) as accepted,
        coalesce(rejections.rejected, 0) as rejected,
        coalesce(ledger.quarantined, 0) as quarantined,
        coalesce(ledger.duplicates, 0) as duplicates,
        coalesce(events.event_count, 0) as event_count,
        coalesce(events.device_count, 0) as device_count,
        events.load_seconds,
        events.load_seconds_maximum,
        events.lateness_seconds,
        ledger.refined_at
    from ledger
    full join rejections using (received_hour, source)
    full join events using (received_hour, source)

),

final as (

    select
        ---------- ids
        received_hour,
        source,

        ---------- counts
        accepted,
        rejected,
        quarantined,
        duplicates,
        event_count,
        device_count,

        ---------- rates
        rejected::float8 / nullif(accepted + rejected, 0) as rejected_rate,
        quarantined::float8 / nullif(accepted, 0) as quarantine_rate,
        duplicates::float8 / nullif(accepted, 0) as duplicate_rate,

        ---------- latency
        load_seconds[1] as load_seconds_p50,
        load_seconds[2] as load_seconds_p95,
        load_seconds[3] as load_seconds_p99,
        load_seconds_maximum,
        lateness_seconds[1] as lateness_seconds_p50,
        lateness_seconds[2] as lateness_seconds_p95,
        lateness_seconds[3] as lateness_seconds_p99,

        ---------- timestamps
        refined_at
    from joined

)

select * from final
