{#-
    Tables that are partitioned by day. A model names the column under `meta: by_day`; the rest is
    done by the functions of schema `warehouse` that its loads use as well, which say which days are
    one partition (a day, or a month or year that is long past).
-#}

{#- Overrides dbt: the table of a model `by_day` is created with the partitions that its rows need. -#}
{% macro create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- set column = config.get('meta', {}).get('by_day') -%}
    {%- if temporary or not column -%}
        {{ return(adapter.dispatch('create_table_as', 'dbt')(temporary, relation, compiled_code)) }}
    {%- endif -%}
    {%- set fresh = this.identifier ~ '__fresh' -%}
    {%- set columns = adapter.dispatch('get_column_names', 'dbt')() -%}
    {{ get_assert_columns_equivalent(compiled_code) }}
    create table {{ relation }}
    {{ get_table_columns_and_constraints() }}
    partition by range ({{ column }});

    -- The rows are kept aside: their days are known only when all of them are.
    create temporary table {{ fresh }} on commit drop as (
        {{ compiled_code }}
    );

    {{ make_partitions(relation, fresh, column) }}

    insert into {{ relation }} ({{ columns }})
    select {{ columns }}
    from {{ fresh }}
    order by {{ column }};
{%- endmacro %}


{#- Creates the partitions of `relation` that the rows of `fresh` need. -#}
{% macro make_partitions(relation, fresh, column) -%}
    select warehouse.make_partitions(
        '{{ relation.include(database=false) }}'::regclass,
        array(select distinct ({{ column }} at time zone 'UTC')::date from {{ fresh }})
    );
{%- endmacro %}


{#- The first moment that is kept: what was measured before is in no mart of single events. -#}
{% macro kept_from() -%}
    (select kept_from from {{ ref('stg_retention') }})
{%- endmacro %}


{#- The first arrival hour whose rows the warehouse keeps. -#}
{% macro arrivals_kept_from() -%}
    (select arrivals_kept_from from {{ ref('stg_retention') }})
{%- endmacro %}
