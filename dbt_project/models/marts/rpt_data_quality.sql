{%- set dimensions = [
    'completeness', 'validity', 'consistency', 'timeliness', 'uniqueness', 'integrity'
] -%}

{{ config(
    unique_key=['received_day', 'source', 'quality_dimension'],
    meta={'scope': 'day'},
    indexes=[{'columns': ['received_day', 'source', 'quality_dimension'], 'unique': true}],
    tags=['all'],
) }}

with

outcomes as (

    select
        source,
        (received_hour at time zone 'UTC')::date as received_day,
        quality_dimension,
        rule_name,
        sum(checked)::bigint as checked,
        sum(failed)::bigint as failed,
        coalesce(sum(failed) filter (where severity = 'warning'), 0)::bigint as warned
    from {{ ref('rpt_quality_rules') }}
    {% if is_hour_run() -%}
    where
        {% for day in arrival_days() -%}
        {{ 'or ' if not loop.first -}}
        (
            received_hour >= {{ day }}::timestamp at time zone 'UTC'
            and received_hour < ({{ day }} + 1)::timestamp at time zone 'UTC'
        )
        {% endfor %}
    {% endif -%}
    group by 1, 2, 3, 4

),

source_days as (

    select distinct
        source,
        received_day
    from outcomes
    where checked > 0

),

-- A dimension that no rule looked at shows as a gap, not as a perfect score: when the edge refused
-- all events of a day, nothing was there to be timely or unique.
dimensions as (

    select unnest(array['{{ dimensions | join("', '") }}']) as quality_dimension

),

final as (

    select
        ---------- ids
        source,
        received_day,
        quality_dimension,

        ---------- numbers
        count(outcomes.rule_name) as rule_count,
        coalesce(sum(outcomes.checked), 0)::bigint as checked,
        coalesce(sum(outcomes.failed), 0)::bigint as failed,
        coalesce(sum(outcomes.warned), 0)::bigint as warned,
        1 - sum(outcomes.failed)::float8 / nullif(sum(outcomes.checked), 0)::float8 as score,

        ---------- text
        (
            array_agg(outcomes.rule_name order by outcomes.failed desc, outcomes.rule_name)
            filter (where outcomes.failed > 0)
        )[1] as most_broken_rule
    from source_days
    cross join dimensions
    left join outcomes using (source, received_day, quality_dimension)
    group by source, received_day, quality_dimension

)

select * from final
