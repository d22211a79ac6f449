{{ config(
    unique_key=['received_hour', 'source', 'event_id', 'event_time'],
    meta={'scope': 'hour', 'ignore': ['loaded_at'], 'by_day': 'event_time'},
    indexes=[
        {'columns': ['event_id', 'source', 'received_hour', 'event_time'], 'unique': true},
        {'columns': ['received_hour'], 'type': 'brin'},
        {'columns': ['receipt_id']},
        {'columns': ['device_id', 'event_time']},
        {'columns': ['event_time', 'event_id']},
    ],
    tags=['all'],
) }}

with

events as (

    select * from {{ ref('int_events') }}
    where
        event_time >= {{ kept_from() }}
        {% if is_hour_run() -%}
        and received_hour = {{ arrival_hour() }}
        {%- endif %}

),

ledger as (

    select * from {{ ref('stg_ledger') }}

),

final as (

    select
        ---------- ids
        events.event_id,
        events.source,
        events.device_id,
        events.receipt_id,
        events.correction_id,
        events.shape,
        events.source_file,
        events.source_row,

        ---------- text
        events.contract_version,

        ---------- numbers
        events.token_key_version,
        extract(epoch from events.received_at - events.event_time)::float8 as lateness_seconds,

        ---------- timestamps
        events.event_time,
        events.received_at,
        events.received_hour,
        -- A row that is already here keeps its time; a rebuild only knows when the hour was refined.
        {% if is_hour_run() -%}
        statement_timestamp() as loaded_at
        {%- else -%}
        coalesce(ledger.refined_at, now()) as loaded_at
        {%- endif %}
    from events
    {% if not is_hour_run() -%}
    left join ledger using (received_hour, source)
    {%- endif %}

)

select * from final
