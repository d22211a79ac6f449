{#- The columns that every source shares, in one order, so that the sources can be unioned. -#}
{% macro event_columns() -%}
    event_id,
    source,
    device_id,
    receipt_id,
    correction_id,
    contract_version,
    token_key_version,
    shape,
    source_file,
    source_row,
    event_time,
    received_at,
    received_hour
{%- endmacro %}
