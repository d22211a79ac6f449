{#-
    The incremental strategy of every table here. The model's query gives the rows that should stand
    for what the arrival hour touches; this makes the table agree with them inside one transaction:
    rows in scope that are absent or different go, rows that are missing come. Rows that are already
    right stay as they are, so the hour that is still filling is not rewritten with each batch.

    Configured per model with `unique_key` and, under `meta`,
    - `scope: hour`: the rows of this `received_hour` (right also when the hour is now empty);
    - `scope: day`: the rows of this `received_day`;
    - `scope: [columns]`: the rows whose columns equal those of a row of the query. A touched key
      with nothing left is given by the query as a row without a value in `tombstone`;
    - `ignore: [columns]`: columns that alone do not make a row different;
    - `by_day: column`: with the scope `hour`, see macros/by_day.sql. The unique key has the column.
-#}
{% macro get_incremental_replace_touched_sql(arguments) %}
    {% set meta = model.config.meta %}
    {% set target = arguments['target_relation'] %}
    {% set fresh = arguments['temp_relation'] %}
    {% set keys = arguments['unique_key'] %}
    {% set columns = arguments['dest_columns'] | map(attribute='name') | list %}
    {% set by_day = meta.get('by_day') %}
    {% set compared = columns | reject('in', keys + meta.get('ignore', [])) | list %}

    {% if meta['scope'] == 'hour' -%}
        {%- set in_scope = 'standing.received_hour = ' ~ arrival_hour() -%}
    {%- elif meta['scope'] == 'day' -%}
        {%- set in_scope = 'standing.received_day = ' ~ arrival_day() -%}
    {%- endif %}

    {% if by_day -%}
    {{ make_partitions(target, fresh, by_day) }}
    {%- endif %}

    delete from {{ target }} as standing
    where
        {% if in_scope -%}
        {{ in_scope }}
        and not exists (
            select 1
            from {{ fresh }} as fresh
            where {{ is_same_row(keys, compared) }}
        );
        {%- else -%}
        standing.ctid in (
            select standing.ctid
            from (select distinct {{ meta['scope'] | join(', ') }} from {{ fresh }}) as touched
            cross join lateral (
                select standing.ctid, standing.*
                from {{ target }} as standing
                where {{ equal(meta['scope'], 'standing', 'touched') }}
                -- One index look-up per touched key, however many there are.
                offset 0
            ) as standing
            where
                not exists (
                    select 1
                    from {{ fresh }} as fresh
                    where {{ is_same_row(keys, compared) }}
                )
        );
        {%- endif %}

    insert into {{ target }} ({{ columns | join(', ') }})
    select {{ prefixed(columns, 'fresh') }}
    from {{ fresh }} as fresh
    where
        {% if meta.get('tombstone') -%}
        fresh.{{ meta['tombstone'] }} is not null
        and {% endif -%}
        not exists (
            select 1
            from {{ target }} as standing
            where
                {{ equal(keys, 'standing', 'fresh') }}
                {% if in_scope -%}
                and {{ in_scope }}
                {%- else -%}
                offset 0
                {%- endif %}
        );
{% endmacro %}


{#- True where the rows `fresh` and `standing` hold the same. -#}
{% macro is_same_row(keys, compared) -%}
    {{ equal(keys, 'fresh', 'standing') }}
    and ({{ prefixed(compared, 'fresh') }})
    is not distinct from ({{ prefixed(compared, 'standing') }})
{%- endmacro %}


{#- Equality of these columns in two relations. -#}
{% macro equal(columns, one, other) -%}
    {%- for column in columns -%}
    {{ one }}.{{ column }} = {{ other }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{#- `columns` as a list in SQL, each with the alias of its relation. -#}
{% macro prefixed(columns, alias) -%}
    {%- for column in columns -%}
    {{ alias }}.{{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
