with

mobile as (

    select {{ event_columns() }} from {{ ref('stg_mobile_events') }}

),

environment as (

    select {{ event_columns() }} from {{ ref('stg_environment_events') }}

),

wearable as (

    select {{ event_columns() }} from {{ ref('stg_wearable_events') }}

),

unioned as (

    select * from mobile
    union all
    select * from environment
    union all
    select * from wearable

)

select * from unioned
