{#-
    A run either names an arrival hour (`--vars '{received_hour: 2026-11-22T14}'`, UTC), or several
    with spaces between them, and changes only what these touch, or names none and rebuilds
    everything from history.
-#}

{#- The arrival hours of this run as timestamptz literals. Their shape is checked: they become SQL. -#}
{% macro arrival_hours() %}
    {% set hours = (var('received_hour', none) | string).split() if execute else ['2000-01-01T00'] %}
    {% set literals = [] %}
    {% for hour in hours %}
        {% if not modules.re.match('^\\d{4}-\\d{2}-\\d{2}T\\d{2}$', hour) %}
            {{ exceptions.raise_compiler_error("received_hour must look like 2026-11-22T14, got '" ~ hour ~ "'") }}
        {% endif %}
        {% do literals.append("timestamptz '" ~ hour | replace('T', ' ') ~ ":00:00+00'") %}
    {% endfor %}
    {{ return(literals) }}
{% endmacro %}


{#- The UTC days that hold these hours as date literals, each once. -#}
{% macro arrival_days() %}
    {% set literals = [] %}
    {% for hour in arrival_hours() %}
        {% set day = "date '" ~ hour[13:23] ~ "'" %}
        {% if day not in literals %}
            {% do literals.append(day) %}
        {% endif %}
    {% endfor %}
    {{ return(literals) }}
{% endmacro %}


{#- What a column equals that holds an arrival hour of this run. -#}
{% macro arrival_hour() -%}
    {{ one_of(arrival_hours()) }}
{%- endmacro %}


{#- What a column equals that holds a UTC day with an arrival hour of this run. -#}
{% macro arrival_day() -%}
    {{ one_of(arrival_days()) }}
{%- endmacro %}


{#- The right side of an equation with one of these literals. -#}
{% macro one_of(literals) -%}
    {{ literals[0] if literals | length == 1 else 'any (array[' ~ literals | join(', ') ~ '])' }}
{%- endmacro %}


{#-
    True when this run changes an existing table for one arrival hour.
    True while parsing as well: the branch of the hour is the one that holds every ref.
-#}
{% macro is_hour_run() %}
    {{ return(not execute or is_incremental()) }}
{% endmacro %}


{#- Overrides dbt: a run that names no arrival hour derives its tables from all history. -#}
{% macro should_full_refresh() %}
    {% set configured = config.get('full_refresh') %}
    {% if configured is none %}
        {{ return(flags.FULL_REFRESH or not var('received_hour', none)) }}
    {% endif %}
    {{ return(configured) }}
{% endmacro %}


{#- Overrides dbt: comments are written when a table is built, not again with every arrival hour. -#}
{% macro persist_docs(relation, model, for_relation=true, for_columns=true) %}
    {% if not is_incremental() %}
        {{ return(adapter.dispatch('persist_docs', 'dbt')(relation, model, for_relation, for_columns)) }}
    {% endif %}
{% endmacro %}


{#-
    Serializes the runs of one model until its transaction ends. Two arrival hours that touch the same
    key would otherwise each merge without the other's rows, and the later writer would lose them.
-#}
{% macro lock_model() %}
    select pg_advisory_xact_lock(hashtextextended('{{ this.schema }}.{{ this.identifier }}', 0))
{% endmacro %}


{#-
    Overrides dbt: a model's columns are held against its contract when its table is built, which a
    changed project always does. An hour's run writes into that table, whose types hold it.
-#}
{% macro get_assert_columns_equivalent(sql) -%}
    {%- if not is_incremental() -%}
        {{ adapter.dispatch('get_assert_columns_equivalent', 'dbt')(sql) }}
    {%- endif -%}
{%- endmacro %}


{#- Overrides dbt: the columns of a table under contract are those of its contract. -#}
{% macro process_schema_changes(on_schema_change, source_relation, target_relation) %}
    {% if config.get('contract').enforced %}
        {{ return(model.columns.values() | list) }}
    {% endif %}
    {{ return(adapter.dispatch('process_schema_changes', 'dbt')(on_schema_change, source_relation, target_relation)) }}
{% endmacro %}
