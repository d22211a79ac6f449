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

        ---------- numbers
        checked,
        failed,

        ---------- timestamps
        received_hour
    from source

)

select * from renamed
