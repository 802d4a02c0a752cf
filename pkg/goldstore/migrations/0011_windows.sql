-- Windows of the civil calendar, as package gold divides time into them. Zone
-- rules are those of this server.

-- The first instant whose local time in a zone is that one or later: the time
-- itself, the first of two where clocks go back over it, or the change where
-- clocks skip it.
CREATE FUNCTION gold.first_instant(local_time timestamp, zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    as_utc timestamptz := local_time AT TIME ZONE 'UTC';
    -- Offsets in force well before and well after: none is above 14 hours.
    well_before timestamptz := as_utc - interval '26 hours';
    well_after  timestamptz := as_utc + interval '26 hours';
    offset_before interval := (well_before AT TIME ZONE zone) - (well_before AT TIME ZONE 'UTC');
    offset_after  interval := (well_after AT TIME ZONE zone) - (well_after AT TIME ZONE 'UTC');
    low  timestamptz := as_utc - greatest(offset_before, offset_after);
    high timestamptz := as_utc - least(offset_before, offset_after);
    middle timestamptz;
BEGIN
    IF low AT TIME ZONE zone = local_time THEN
        RETURN low;
    ELSIF high AT TIME ZONE zone = local_time THEN
        RETURN high;
    END IF;
    -- Skipped: the change lies between, where the local time is still before
    -- and already after. Changes are at whole seconds.
    WHILE high - low > interval '1 second' LOOP
        middle := date_trunc('second', low + (high - low) / 2);
        IF middle AT TIME ZONE zone < local_time THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN high;
END
$$;

-- The starts of the calendar windows from the one that holds from_time to the
-- one that holds until_time, and the end of that. unit is day, week (from
-- Monday), month, year or gas_day (from 06:00), zone an IANA name.
CREATE FUNCTION gold.calendar_starts(
    unit text, zone text, from_time timestamptz, until_time timestamptz
) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part text := CASE unit WHEN 'gas_day' THEN 'day' ELSE unit END;
    step interval := '1 ' || part;
    hour interval := CASE unit WHEN 'gas_day' THEN interval '6 hours' ELSE interval '0' END;
    starts timestamptz[];
BEGIN
    IF unit IS NULL OR unit NOT IN ('day', 'week', 'month', 'year', 'gas_day') THEN
        RAISE EXCEPTION 'a window of % is not known: use day, week, month, year or gas_day',
            coalesce(quote_literal(unit), 'null')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF zone IS NULL OR zone !~ '^[A-Za-z]+$|^[A-Za-z_]+(/[A-Za-z0-9_+-]+)+$' THEN
        -- What else Postgres would take are offsets with the sign of POSIX.
        RAISE EXCEPTION '% is no IANA time zone: give one such as Europe/Paris', coalesce(quote_literal(zone), 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two steps around, for local dates that run ahead and behind.
    SELECT array_agg(DISTINCT s.start ORDER BY s.start) INTO starts
    FROM generate_series(date_trunc(part, from_time AT TIME ZONE zone) - 2 * step,
                         date_trunc(part, until_time AT TIME ZONE zone) + 2 * step, step) AS local(date)
    CROSS JOIN LATERAL (SELECT gold.first_instant(local.date + hour, zone) AS start) AS s;
    RETURN starts[width_bucket(from_time, starts) : width_bucket(until_time, starts) + 1];
END
$$;

-- The calendar windows that overlap [from_time, to_time).
CREATE FUNCTION gold.calendar_windows(
    from_time timestamptz, to_time timestamptz, unit text, zone text DEFAULT 'UTC'
) RETURNS TABLE (window_start timestamptz, window_end timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.start, w.next
    FROM (SELECT s AS start, lead(s) OVER (ORDER BY s) AS next
          FROM unnest(gold.calendar_starts(unit, zone, from_time, to_time)) AS s) AS w
    WHERE w.next > from_time AND w.start < to_time
    ORDER BY w.start
$$;
