with

source as (

    select * from {{ source('warehouse', 'users') }}

),

renamed as (

    select
        ---------- ids
        user_id,

        ---------- text
        sex,

        ---------- numbers
        birth_year
    from source

)

select * from renamed
