{{ config(
    unique_key=['session_id', 'device_id'],
    meta={'scope': ['session_id'], 'tombstone': 'device_id'},
    indexes=[
        {'columns': ['session_id', 'device_id'], 'unique': true},
        {'columns': ['device_id', 'started_at']},
        {'columns': ['received_hours'], 'type': 'gin'},
    ],
    tags=['mobile'],
) }}

{#- One order for all aggregates: the events of a session are sorted once. -#}
{%- set latest = 'order by event_time desc, event_id desc' %}

with

{% if is_hour_run() %}
-- A session that lost its last event of this hour is found by the hours that it was built from.
touched as (

    select session_id from {{ ref('stg_mobile_events') }}
    where received_hour = {{ arrival_hour() }} and session_id is not null
    union
    select session_id from {{ this }}
    where received_hours && array[{{ arrival_hours() | join(', ') }}]

),

{% endif -%}
session_events as (

    select held.*
    {% if is_hour_run() -%}
    {{ from_touched(ref('stg_mobile_events'), [equal(['session_id'], 'held', 'touched')]) }}
    {%- else -%}
    from {{ ref('stg_mobile_events') }} as held
    where held.session_id is not null
    {%- endif %}

),

sessions as (

    select
        session_id,
        device_id,

        ---------- text
        (array_agg(user_email {{ latest }}) filter (where user_email is not null))[1] as user_email,
        (array_agg(device_model {{ latest }}) filter (where device_model is not null))[1]
            as device_model,
        (array_agg(device_manufacturer {{ latest }}) filter (where device_manufacturer is not null))[1]
            as device_manufacturer,
        (array_agg(os_name {{ latest }}) filter (where os_name is not null))[1] as os_name,
        (array_agg(app_name {{ latest }}) filter (where app_name is not null))[1] as app_name,
        (array_agg(app_version {{ latest }}) filter (where app_version is not null))[1]
            as app_version,

        ---------- numbers
        count(*) as event_count,
        extract(epoch from max(event_time) - min(event_time))::float8 as duration_seconds,
        (array_agg(battery_level_percent {{ latest }})
            filter (where battery_level_percent is not null))[
                count(battery_level_percent)
            ] as first_battery_level_percent,
        (array_agg(battery_level_percent {{ latest }})
            filter (where battery_level_percent is not null))[1] as last_battery_level_percent,
        min(battery_level_percent) as minimum_battery_level_percent,
        extract(epoch from
            max(event_time) filter (where battery_level_percent is not null)
            - min(event_time) filter (where battery_level_percent is not null)
        )::float8 as battery_seconds,
        count(*) filter (where battery_charging) as charging_event_count,
        count(*) filter (where connectivity = 'wifi') as wifi_event_count,
        count(distinct wifi_name) as wifi_network_count,
        avg(
            sqrt(
                accelerometer_x_ms2 * accelerometer_x_ms2
                + accelerometer_y_ms2 * accelerometer_y_ms2
                + accelerometer_z_ms2 * accelerometer_z_ms2
            ) {{ latest }}
        ) as average_acceleration_ms2,

        ---------- timestamps
        min(event_time) as started_at,
        max(event_time) as ended_at,
        min(received_at) as first_received_at,
        max(received_at) as last_received_at,
        array_agg(distinct received_hour order by received_hour) as received_hours
    from session_events
    group by session_id, device_id
    having min(event_time) >= {{ kept_from() }}

),

final as (

    select
        session_id,
        sessions.device_id,
        sessions.user_email,
        sessions.device_model,
        sessions.device_manufacturer,
        sessions.os_name,
        sessions.app_name,
        sessions.app_version,
        sessions.event_count,
        sessions.duration_seconds,
        sessions.first_battery_level_percent,
        sessions.last_battery_level_percent,
        sessions.minimum_battery_level_percent,
        -- Charge that came meanwhile shows as a level that was lower before.
        case
            when
                sessions.charging_event_count = 0
                and sessions.last_battery_level_percent = sessions.minimum_battery_level_percent
                then sessions.battery_seconds
        end as drain_seconds,
        sessions.charging_event_count,
        sessions.wifi_event_count,
        sessions.wifi_network_count,
        sessions.average_acceleration_ms2,
        sessions.started_at,
        sessions.ended_at,
        sessions.first_received_at,
        sessions.last_received_at,
        sessions.received_hours
    {% if is_hour_run() -%}
    from touched
    left join sessions using (session_id)
    {%- else -%}
    from sessions
    {%- endif %}

)

select * from final
