with

source as (

    select * from {{ source('warehouse', 'rule_outcomes') }}

),

renamed as (

    select
        ---------- ids
        source,

        ---------- text
        dimension as quality_dimension,
        rule as rule_name,
        field as field_name,
        -- Hours that were refined before there were warnings have errors only.
        coalesce(severity, 'error') as severity,

        ---------- numbers
        checked,
        failed,

        ---------- timestamps
        received_hour
    from source

)

select * from renamed
