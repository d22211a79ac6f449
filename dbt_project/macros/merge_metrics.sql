{#-
    The keys that the partials of the arrival hour touch, each once. Partials with n = 0 count: they
    stand for a key that the hour no longer holds. `keys` are columns or expressions with an alias.
-#}
{% macro touched_keys(keys, where='true') -%}
    select distinct
        {% for key in keys -%}
        {{ key }}{{ ',' if not loop.last }}
        {% endfor -%}
    from {{ ref('stg_hour_partials') }}
    where received_hour = {{ arrival_hour() }} and {{ where }}
{%- endmacro %}


{#-
    The rows of `relation`, as `held`, that match a row of `touched`. `offset 0` makes this one index
    look-up per touched key: joined freely, thousands of keys have the planner read all history.
-#}
{% macro from_touched(relation, matches) -%}
    from touched
    cross join lateral (
        select * from {{ relation }} as held
        where
            {{ matches | join('\n            and ') }}
        offset 0
    ) as held
{%- endmacro %}


{#-
    Two CTEs, `weighed` and `merged`, that merge the rows of `parts` (n, average, m2, total, minimum,
    maximum, first and last) into one row per `keys`. Chan, Golub and LeVeque 1983, with the grand
    mean taken first: the squared deviations add up as sum(m2 + n * (average - grand average)^2).
    Every sum runs in the order of `order_by`, which must be unique within a key: the result is then
    the same to the bit however the parts arrived.
-#}
{% macro merged_ctes(parts, keys, order_by) %}
weighed as (

    select
        *,
        sum(n * average) over whole / sum(n) over whole as grand_average
    from {{ parts }}
    window whole as (
        partition by {{ keys | join(', ') }}
        order by {{ order_by }}
        rows between unbounded preceding and unbounded following
    )

),

merged as (

    select
        {{ keys | join(', ') }},
        sum(n)::bigint as n,
        min(grand_average) as average,
        min(minimum) as minimum,
        max(maximum) as maximum,
        sum(
            m2 + n * (average - grand_average) * (average - grand_average) order by {{ order_by }}
        ) as m2,
        sum(total order by {{ order_by }}) as total,
        (array_agg(first_value order by first_at, first_value))[1] as first_value,
        min(first_at) as first_at,
        (array_agg(last_value order by last_at desc, last_value desc))[1] as last_value,
        max(last_at) as last_at
    from weighed
    group by {{ keys | join(', ') }}

)
{%- endmacro %}


{#- The last CTE of a metric mart: the merged rows, and in the run of an hour every touched key. -#}
{% macro metrics_by_key(keys) -%}
    select
        {{ keys | join(',\n        ') }},

        ---------- statistics
        merged.n,
        merged.average,
        merged.minimum,
        merged.maximum,
        case when merged.n > 1 then sqrt(merged.m2 / (merged.n - 1)) end as standard_deviation,
        merged.total,
        merged.m2,

        ---------- ends
        merged.first_value,
        merged.first_at,
        merged.last_value,
        merged.last_at
    {% if is_hour_run() -%}
    from touched
    left join merged using ({{ keys | join(', ') }})
    {%- else -%}
    from merged
    {%- endif %}
{%- endmacro %}
