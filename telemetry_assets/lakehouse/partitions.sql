-- How tables of Postgres are cut by time. Kept as functions of schema `warehouse`, because loads, dbt
-- and maintenance use the same ones. A table's partitions are days, and whole months or years of
-- what is long past: a question that names no time opens every partition. There is no default
-- partition, which would be searched, and locked, for each day that is added.

-- The partition that a day belongs to, as a range of days.
CREATE OR REPLACE FUNCTION warehouse.partition_span(day date, today date) RETURNS daterange
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN date_trunc('year', day) + interval '1 year' <= today - interval '1 year'
            THEN daterange(date_trunc('year', day)::date, (date_trunc('year', day) + interval '1 year')::date)
        WHEN date_trunc('month', day) + interval '1 month' <= today - interval '14 days'
            THEN daterange(date_trunc('month', day)::date, (date_trunc('month', day) + interval '1 month')::date)
        ELSE daterange(day, day + 1)
    END
$$;

-- The partitions of a table and the days (UTC) that each holds.
CREATE OR REPLACE FUNCTION warehouse.partitions_of(parent regclass)
RETURNS TABLE (name regclass, days daterange)
LANGUAGE sql SET timezone = 'UTC' AS $$
    SELECT c.oid::regclass, daterange(bounds[1]::timestamptz::date, bounds[2]::timestamptz::date)
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    CROSS JOIN regexp_match(
        pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)'
    ) AS bounds
    WHERE i.inhparent = parent
    ORDER BY 2
$$;

-- The column that a table is cut by.
CREATE OR REPLACE FUNCTION warehouse.partition_column(parent regclass) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT attname FROM pg_partitioned_table
    JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
    WHERE partrelid = parent
$$;

-- Creates an empty table with the columns of `parent` that can become its partition; returns it.
CREATE OR REPLACE FUNCTION warehouse.new_partition(parent regclass, days daterange) RETURNS regclass
LANGUAGE plpgsql AS $$
DECLARE
    home text; base text; suffix text; name text;
BEGIN
    SELECT CASE n.nspname WHEN 'marts' THEN 'marts_partitions' ELSE n.nspname END,
        regexp_replace(c.relname, '__dbt_(tmp|backup)$', '')
    INTO home, base
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = parent;
    suffix := to_char(lower(days), CASE
        WHEN upper(days) - lower(days) = 1 THEN 'YYYYMMDD'
        WHEN upper(days) - lower(days) > 31 THEN 'YYYY' ELSE 'YYYYMM' END);
    name := format('%I.%I', home, base || '_' || suffix);
    -- A table that is built anew beside the standing one has partitions of the same days.
    IF to_regclass(name) IS NOT NULL THEN
        name := format('%I.%I', home, base || '_' || suffix || '_b');
    END IF;
    EXECUTE format('CREATE TABLE %s (LIKE %s)', name, parent);
    RETURN name::regclass;
END $$;

-- Makes a table a partition. Neither readers nor writers of `parent` wait for this.
CREATE OR REPLACE FUNCTION warehouse.attach_partition(parent regclass, name regclass, days daterange)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        parent, name, lower(days) || ' 00:00:00+00', upper(days) || ' 00:00:00+00'
    );
END $$;

-- Creates the partitions that these days (UTC) need; returns how many. A table without partitions
-- stays as it is.
CREATE OR REPLACE FUNCTION warehouse.make_partitions(parent regclass, wanted date[]) RETURNS int
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    present datemultirange; missing date[]; d date; span daterange; made int := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = parent) THEN
        RETURN 0;
    END IF;
    SELECT coalesce(range_agg(days), '{}') INTO present FROM warehouse.partitions_of(parent);
    IF NOT EXISTS (SELECT FROM unnest(wanted) AS day WHERE NOT present @> day) THEN
        RETURN 0;
    END IF;
    -- Others that add partitions wait; then what they have added is there.
    EXECUTE format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', parent);
    SELECT coalesce(range_agg(days), '{}') INTO present FROM warehouse.partitions_of(parent);
    SELECT coalesce(array_agg(DISTINCT day ORDER BY day), '{}') INTO missing
    FROM unnest(wanted) AS day WHERE day IS NOT NULL;
    FOREACH d IN ARRAY missing LOOP
        CONTINUE WHEN present @> d;
        span := warehouse.partition_span(d, today);
        -- Days that were not joined yet stand in the way of their month or year.
        IF present && span AND upper(span) - lower(span) > 31 THEN
            span := daterange(
                date_trunc('month', d)::date, (date_trunc('month', d) + interval '1 month')::date
            );
        END IF;
        IF present && span THEN
            span := daterange(d, d + 1);
        END IF;
        PERFORM warehouse.attach_partition(parent, warehouse.new_partition(parent, span), span);
        present := present + datemultirange(span);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Joins the partitions of one month or year that is long past; returns how many became one, 0 when
-- there is nothing to do. Nobody else may write the table meanwhile; readers wait at the end alone.
CREATE OR REPLACE FUNCTION warehouse.join_partitions(parent regclass) RETURNS int
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    span daterange; parts regclass[]; part regclass; whole regclass; key text;
BEGIN
    SELECT warehouse.partition_span(lower(days), today), array_agg(name ORDER BY days)
    INTO span, parts
    FROM warehouse.partitions_of(parent)
    WHERE days <> warehouse.partition_span(lower(days), today)
    GROUP BY 1 ORDER BY 1 LIMIT 1;
    IF span IS NULL THEN
        RETURN 0;
    END IF;
    FOREACH part IN ARRAY parts LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE MODE', part);
    END LOOP;
    whole := warehouse.new_partition(parent, span);
    key := quote_ident(warehouse.partition_column(parent));
    FOREACH part IN ARRAY parts LOOP
        EXECUTE format('INSERT INTO %s SELECT * FROM %s ORDER BY %s', whole, part, key);
    END LOOP;
    -- Attaching then neither reads the rows nor builds an index while readers wait.
    EXECUTE format(
        'ALTER TABLE %s ADD CONSTRAINT holds_its_days CHECK (%s IS NOT NULL AND %s >= %L AND %s < %L)',
        whole, key, key, lower(span) || ' 00:00:00+00', key, upper(span) || ' 00:00:00+00'
    );
    PERFORM warehouse.copy_indexes(parent, whole);
    EXECUTE format('ANALYZE %s', whole);
    FOREACH part IN ARRAY parts LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', parent, part);
    END LOOP;
    PERFORM warehouse.attach_partition(parent, whole, span);
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT holds_its_days', whole);
    FOREACH part IN ARRAY parts LOOP
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
    RETURN cardinality(parts);
END $$;

-- Builds on a table the indexes that its future parent has.
CREATE OR REPLACE FUNCTION warehouse.copy_indexes(parent regclass, name regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    definition text;
BEGIN
    FOR definition IN SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = parent LOOP
        EXECUTE regexp_replace(
            definition, '^(CREATE (UNIQUE )?INDEX) .+? ON (ONLY )?\S+ (USING .*)$',
            format('\1 ON %s \4', name)
        );
    END LOOP;
END $$;

-- Drops what a table holds of days before `kept_from`: partitions, and rows of the one partition
-- that goes on beyond. Returns what went: rows are an estimate for a partition that was dropped.
CREATE OR REPLACE FUNCTION warehouse.drop_before(parent regclass, kept_from date)
RETURNS TABLE (name text, days daterange, row_count bigint, dropped boolean)
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    part record; key text := quote_ident(warehouse.partition_column(parent)); gone bigint;
BEGIN
    FOR part IN SELECT * FROM warehouse.partitions_of(parent) AS p WHERE lower(p.days) < kept_from LOOP
        IF upper(part.days) <= kept_from THEN
            SELECT greatest(c.reltuples, 0)::bigint INTO gone FROM pg_class AS c WHERE c.oid = part.name;
            RETURN QUERY SELECT part.name::text, part.days, gone, true;
            EXECUTE format('DROP TABLE %s', part.name);
        ELSE
            EXECUTE format('DELETE FROM %s WHERE %s < %L', part.name, key, kept_from || ' 00:00:00+00');
            GET DIAGNOSTICS gone = ROW_COUNT;
            IF gone > 0 THEN
                RETURN QUERY SELECT
                    part.name::text, daterange(lower(part.days), kept_from), gone, false;
            END IF;
        END IF;
    END LOOP;
END $$;
