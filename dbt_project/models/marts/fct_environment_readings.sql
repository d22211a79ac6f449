{{ config(
    unique_key=['received_hour', 'event_id', 'event_time'],
    meta={'scope': 'hour', 'by_day': 'event_time'},
    indexes=[
        {'columns': ['received_hour', 'event_id', 'event_time'], 'unique': true},
        {'columns': ['device_id', 'event_time']},
        {'columns': ['event_time', 'event_id']},
    ],
    tags=['environment'],
) }}

with

events as (

    select * from {{ ref('stg_environment_events') }}
    where
        event_time >= {{ kept_from() }}
        {% if is_hour_run() -%}
        and received_hour = {{ arrival_hour() }}
        {%- endif %}

),

final as (

    select
        ---------- ids
        event_id,
        device_id,
        receipt_id,
        location_id,
        source_file,
        source_row,

        ---------- text
        location_name,
        sensor_type,
        device_label,
        geohash,
        time_zone,

        ---------- numbers
        temperature_celsius,
        relative_humidity_percent,
        pressure_hpa,
        carbon_monoxide_ppm,
        lpg_ppm,
        smoke_ppm,
        illuminance_lux,
        dew_point_celsius,
        heat_index_celsius,
        latitude,
        longitude,
        altitude_m,

        ---------- booleans
        light_detected,
        motion_detected,

        ---------- timestamps
        event_time,
        local_time,
        received_at,
        received_hour
    from events

)

select * from final
