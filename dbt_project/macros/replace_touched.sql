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
    - `ignore: [columns]`: columns that alone do not make a row different.
-#}
{% macro get_incremental_replace_touched_sql(arguments) %}
    {% set meta = model.config.meta %}
    {% set target = arguments['target_relation'] %}
    {% set fresh = arguments['temp_relation'] %}
    {% set keys = arguments['unique_key'] %}
    {% set columns = arguments['dest_columns'] | map(attribute='name') | list %}
    {% set compared = columns | reject('in', keys + meta.get('ignore', [])) | list %}

    delete from {{ target }} as standing
    where
        {% if meta['scope'] == 'hour' -%}
        standing.received_hour = {{ arrival_hour() }}
        {%- elif meta['scope'] == 'day' -%}
        standing.received_day = {{ arrival_day() }}
        {%- else -%}
        ({{ prefixed(meta['scope'], 'standing') }}) in (
            select {{ prefixed(meta['scope'], 'fresh') }}
            from {{ fresh }} as fresh
        )
        {%- endif %}
        and not exists (
            select 1
            from {{ fresh }} as fresh
            where
                {% for key in keys -%}
                fresh.{{ key }} = standing.{{ key }} and
                {% endfor -%}
                ({{ prefixed(compared, 'fresh') }})
                is not distinct from ({{ prefixed(compared, 'standing') }})
        );

    insert into {{ target }} ({{ columns | join(', ') }})
    select {{ prefixed(columns, 'fresh') }}
    from {{ fresh }} as fresh
    where
        {% if meta.get('tombstone') -%}
        fresh.{{ meta['tombstone'] }} is not null and
        {% endif -%}
        not exists (
            select 1
            from {{ target }} as standing
            where
                {% for key in keys -%}
                standing.{{ key }} = fresh.{{ key }}{{ ' and ' if not loop.last }}
                {%- endfor %}
        );
{% endmacro %}


{#- `columns` as a list in SQL, each with the alias of its relation. -#}
{% macro prefixed(columns, alias) -%}
    {%- for column in columns -%}
    {{ alias }}.{{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
