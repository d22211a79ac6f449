{#- The age group of an age in years. Whoever is not registered falls into `unknown`. -#}
{% macro age_group(age) -%}
    case
        when {{ age }} is null then 'unknown'
        when {{ age }} < 18 then 'under 18'
        when {{ age }} < 30 then '18 to 29'
        when {{ age }} < 40 then '30 to 39'
        when {{ age }} < 50 then '40 to 49'
        when {{ age }} < 60 then '50 to 59'
        when {{ age }} < 70 then '60 to 69'
        else '70 and over'
    end
{%- endmacro %}
