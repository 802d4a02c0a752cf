-- The answers of the query API for those who ask in SQL: gold.aggregates and
-- gold.calendar_aggregates, by package gold's rules. docs/sql.md says how to use
-- them. A property test holds them equal to the API.

-- The answer for one window.
CREATE TYPE gold.aggregate AS (
    entity                text,
    metric                text,
    unit                  text,
    kind                  text,             -- register, interval or gauge
    energy_unit           text,             -- of consumption; null: no energy
    power_unit            text,             -- of peak; null: no power
    window_start          timestamptz,
    window_end            timestamptz,
    count                 bigint,           -- readings that count
    sum                   double precision,
    mean                  double precision,
    min                   double precision,
    min_at                timestamptz,      -- earliest
    max                   double precision,
    max_at                timestamptz,      -- earliest
    first                 double precision,
    first_at              timestamptz,
    last                  double precision,
    last_at               timestamptz,
    consumption           double precision, -- advance of a register, energy of others
    interpolated          double precision, -- of consumption: over gaps of a register
    estimated_consumption double precision, -- of consumption: by estimated readings
    corrected_consumption double precision, -- of consumption: by corrected readings
    covered               interval,         -- time that readings account for
    estimated_count       bigint,
    corrected_count       bigint,
    gaps                  bigint,
    resets                bigint,
    exchanges             bigint,
    peak                  double precision, -- greatest mean power of a base window
    peak_at               timestamptz,      -- start of the earliest such
    edge_open             boolean,          -- the next reading will add to the window
    revision              bigint,
    last_change           timestamptz
);

CREATE FUNCTION gold.micros(n bigint) RETURNS interval IMMUTABLE PARALLEL SAFE
RETURN n::double precision * interval '1 microsecond';

-- The time of so many microseconds since 1970, which is as fine as times are here.
CREATE FUNCTION gold.instant(micros bigint) RETURNS timestamptz STABLE PARALLEL SAFE
RETURN timestamptz '1970-01-01 00:00:00+00' + gold.micros(micros);

CREATE FUNCTION gold.unix_ns(at timestamptz) RETURNS bigint STABLE PARALLEL SAFE
RETURN (extract(epoch FROM at) * 1000000000)::bigint;

-- What a register's step is: 0 an advance, 1 a rollover, 2 a reset to zero, 3 an
-- exchange of the meter. most is what the meter can have counted meanwhile, null
-- when it is not bounded. See advance in pkg/gold/partial.go.
CREATE FUNCTION gold.register_rule(
    step double precision, current double precision, most double precision,
    dip_tolerance double precision, rollover double precision, reset_to_zero boolean
) RETURNS integer IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN step >= 0 AND (most IS NULL OR step <= most) OR step < 0 AND step >= -dip_tolerance THEN 0
    WHEN rollover > 0 AND step < 0 AND step + rollover >= 0 AND step + rollover <= rollover / 2
        AND (most IS NULL OR step + rollover <= most) THEN 1
    WHEN reset_to_zero AND step < 0 AND (most IS NULL OR current <= most) THEN 2
    ELSE 3
END;

-- R(until_ns) − R(from_ns) between the ends of a stretch of time that lies around
-- both. rule is what the stretch is: the pair of two readings of a register (step is
-- what it advanced in all), of a linear or step gauge, or what one interval reading
-- (step is its value) or mean covers. See pair and cover in pkg/gold.
CREATE FUNCTION gold.stretch_consumption(
    rule text, left_ns bigint, left_value double precision, right_ns bigint, right_value double precision,
    step double precision, from_ns bigint, until_ns bigint
) RETURNS double precision IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN until_ns <= from_ns THEN 0
    WHEN rule IN ('register', 'interval') THEN
        step * ((until_ns - from_ns)::double precision / (right_ns - left_ns)::double precision)
    WHEN rule = 'linear' THEN (
        (left_value * (1 - (from_ns - left_ns)::double precision / (right_ns - left_ns)::double precision)
            + right_value * ((from_ns - left_ns)::double precision / (right_ns - left_ns)::double precision)) / 2
        + (left_value * (1 - (until_ns - left_ns)::double precision / (right_ns - left_ns)::double precision)
            + right_value * ((until_ns - left_ns)::double precision / (right_ns - left_ns)::double precision)) / 2
        ) * (until_ns - from_ns)::double precision / 3600000000000::double precision
    ELSE left_value * (until_ns - from_ns)::double precision / 3600000000000::double precision
END;

-- Refuses what the statistics of a base row do not tell: how its readings divide is
-- in the row's versions, which only the API decodes.
CREATE FUNCTION gold.refuse_row(series_id bigint, row_start timestamptz, reason text) RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s gold.series;
BEGIN
    SELECT * INTO s FROM gold.series WHERE id = series_id;
    RAISE EXCEPTION 'SQL cannot divide the base row of % % at %: %', s.entity, s.metric, row_start, reason
        USING ERRCODE = 'feature_not_supported',
              HINT = 'Ask the query API, which resolves it from the readings.';
END
$$;

-- Where the readings of the selected series begin and end, Unix ns: beyond_ns is
-- behind the last one and behind what readings cover.
CREATE FUNCTION gold.series_bounds(entities text[], metrics text[])
RETURNS TABLE (series_id bigint, first_ns bigint, last_ns bigint, beyond_ns bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.id, a.first_at_ns, z.last_at_ns, greatest(z.last_at_ns + 1, r.reach_ns)
    FROM gold.series s
    CROSS JOIN LATERAL (SELECT b.first_at_ns FROM gold.base b
        WHERE b.series_id = s.id AND b.count > 0 ORDER BY b.start, b.width LIMIT 1) AS a
    CROSS JOIN LATERAL (SELECT b.start, b.last_at_ns FROM gold.base b
        WHERE b.series_id = s.id AND b.count > 0 ORDER BY b.start DESC, b.width DESC LIMIT 1) AS z
    CROSS JOIN LATERAL (SELECT max(b.reach_ns) AS reach_ns FROM gold.base b
        WHERE b.series_id = s.id AND b.start >= z.start - gold.micros(s.reach_ns / 1000)) AS r
    WHERE (entities IS NULL OR s.entity = ANY (entities)) AND (metrics IS NULL OR s.metric = ANY (metrics));
END;

-- The parameters of each selected series.
CREATE VIEW gold.series_metrics AS
SELECT s.id AS series_id, s.entity, s.metric, s.unit, m.kind, m.integrate, m.energy_unit, m.power_unit, m.paired,
       m.base_window, m.max_gap_ns, m.max_rate, m.rollover, m.dip_tolerance, m.reset_to_zero,
       s.reach_ns AS longest_ns
FROM gold.series s
CROSS JOIN LATERAL (SELECT * FROM gold.metrics_in_force f
    WHERE f.metric IN (s.metric, '') ORDER BY f.metric DESC LIMIT 1) AS m;

-- Base rows without their versions. They start at whole seconds.
CREATE VIEW gold.row_statistics AS
SELECT b.series_id, b.start, b.width, date_part('epoch', b.start)::bigint * 1000000000 AS start_ns,
       (date_part('epoch', b.start)::bigint + b.width) * 1000000000 AS end_ns,
       b.count, b.sum, b.min, b.min_at_ns, b.max, b.max_at_ns, b.first, b.first_at_ns, b.last, b.last_at_ns,
       b.energy, b.advance, b.covered_ns, b.gaps, b.resets, b.exchanges, b.estimated_count, b.corrected_count,
       b.estimated_energy, b.corrected_energy, b.reach_ns, b.overlapping, b.first_quality, b.last_quality, b.revision, b.changed_at
FROM gold.base b;

-- The aggregates of windows [starts[i], starts[i+1]). Of each series those are
-- answered that overlap [from_ns, until_ns) from its first reading on; a null
-- until_ns stands for behind its last reading.
--
-- It follows Aggregator and Spread in pkg/gold: a window is the fold of its rows and
-- of its shares of stretches of time that lie across the edges of rows: pairs of
-- readings of paired metrics, and what readings that cover spans cover behind the
-- row that they begin in. Statistics tell the latter where readings do not overlap.
CREATE FUNCTION gold.fold_windows(
    entities text[], metrics text[], starts timestamptz[], from_ns bigint, until_ns bigint
) RETURNS SETOF gold.aggregate
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- so that the weeks that are not asked for are left out
SET jit = off
AS $$
DECLARE
    windows integer := cardinality(starts) - 1;
    edges bigint[] := ARRAY(SELECT gold.unix_ns(s) FROM unnest(starts) AS s);
    lowest timestamptz := starts[1];
    highest timestamptz := starts[windows + 1];
    before_lowest timestamptz := lowest - interval '1 hour'; -- no base row is wider
BEGIN
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT m.*, CASE m.kind WHEN 'gauge' THEN m.integrate ELSE m.kind END AS rule, b.last_ns, n.near,
               greatest(width_bucket(b.first_ns, edges), 1) AS from_window,
               CASE WHEN until_ns IS NULL THEN width_bucket(b.beyond_ns - 1, edges) ELSE windows END AS to_window
        FROM gold.series_bounds(entities, metrics) AS b
        JOIN gold.series_metrics m USING (series_id)
        LEFT JOIN LATERAL (SELECT r.start AS near FROM gold.base r
            WHERE r.series_id = m.series_id AND r.count > 0 AND r.start < lowest
            ORDER BY r.start DESC LIMIT 1) AS n ON true
        WHERE greatest(from_ns, b.first_ns) < coalesce(until_ns, b.beyond_ns)
    ), stored AS ( -- rows of the windows, the nearest with readings on either side, and those that reach its
        SELECT b.* FROM chosen c JOIN gold.row_statistics b ON b.series_id = c.series_id
        WHERE b.start > before_lowest AND b.start < highest AND (b.start >= lowest OR b.end_ns > edges[1])
        UNION ALL
        SELECT b.* FROM chosen c CROSS JOIN LATERAL (SELECT * FROM gold.row_statistics r
            WHERE r.series_id = c.series_id AND r.count > 0 AND r.end_ns <= edges[1]
                AND r.start BETWEEN c.near - gold.micros(c.longest_ns / 1000) AND c.near) AS b
        UNION ALL
        SELECT b.* FROM chosen c CROSS JOIN LATERAL (SELECT * FROM gold.row_statistics r
            WHERE r.series_id = c.series_id AND r.count > 0 AND r.start >= highest
            ORDER BY r.start, r.width LIMIT 1) AS b
        WHERE c.paired
    ), placed AS ( -- each in the window that holds it; 0 and windows + 1 are neighbours
        SELECT b.*, c.rule, c.paired, c.rule IN ('interval', 'mean') AS spans, c.max_gap_ns, c.max_rate, c.rollover,
               c.dip_tolerance, c.reset_to_zero, c.energy_unit, c.power_unit, c.from_window, c.to_window,
               c.base_window * 1000000000::bigint AS base_ns,
               CASE WHEN b.end_ns > edges[w.number + 1]
                    THEN gold.refuse_row(b.series_id, b.start, 'the edge of a window cuts it') ELSE w.number END AS place
        FROM stored b JOIN chosen c USING (series_id)
        CROSS JOIN LATERAL (SELECT width_bucket(b.start_ns, edges) AS number) AS w
    ), linked AS ( -- to the row with readings before
        SELECT p.*, lag(place) OVER readings AS before_number, lag(end_ns) OVER readings AS before_end_ns,
               lag(start_ns) OVER readings AS before_start_ns, lead(place) OVER readings AS after_number,
               lead(start_ns) OVER readings AS after_start_ns,
               lag(last) OVER readings AS before_value, lag(last_at_ns) OVER readings AS before_ns,
               lag(last_quality) OVER readings AS before_quality, lag(reach_ns) OVER readings AS before_reach_ns,
               max(reach_ns) OVER earlier AS covered_ns_before
        FROM placed p
        WINDOW readings AS (PARTITION BY series_id, count > 0 ORDER BY start_ns, width),
               earlier AS (readings ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ), judged AS ( -- what the step from the reading before is
        SELECT l.*, g.gap, r.step_rule,
               l.place + CASE WHEN l.spans AND l.count > 0 AND (
                   l.covered_ns_before > greatest(edges[1], l.first_at_ns)
                   OR l.overlapping > 0 AND l.reach_ns > greatest(edges[1], l.end_ns))
                   THEN gold.refuse_row(l.series_id, l.start, 'its readings overlap others') ELSE 0 END AS number
        FROM linked l
        CROSS JOIN LATERAL (SELECT coalesce(l.count > 0 AND l.max_gap_ns > 0 AND l.before_ns IS NOT NULL
            AND l.first_at_ns - greatest(l.before_ns, l.covered_ns_before) > l.max_gap_ns, false) AS gap) AS g
        CROSS JOIN LATERAL (SELECT CASE WHEN l.count > 0 AND l.rule = 'register' AND l.before_ns IS NOT NULL THEN
            gold.register_rule(l.first - l.before_value, l.first,
                CASE WHEN l.max_rate > 0 THEN l.max_rate
                    * ((l.first_at_ns - l.before_ns)::double precision / 3600000000000::double precision)
                    + 2 * l.dip_tolerance END,
                l.dip_tolerance, l.rollover, l.reset_to_zero) END AS step_rule) AS r
    ), stretches AS ( -- the pair with the reading before, or what the last reading covers behind its row
        SELECT j.*, CASE WHEN j.spans THEN j.count > 0 AND j.reach_ns > j.end_ns
                    ELSE j.paired AND j.count > 0 AND j.before_ns IS NOT NULL
                        AND (NOT j.gap OR j.rule = 'register') END AS adds,
               CASE WHEN j.spans THEN j.last_at_ns ELSE j.before_ns END AS left_ns,
               CASE WHEN j.spans THEN j.reach_ns ELSE j.first_at_ns END AS right_ns,
               CASE WHEN j.spans THEN j.last ELSE j.before_value END AS left_value,
               CASE WHEN j.spans THEN j.last_quality ELSE j.before_quality END AS left_quality,
               CASE WHEN j.spans THEN j.last_quality ELSE j.first_quality END AS right_quality,
               CASE WHEN j.spans THEN j.last WHEN j.step_rule = 0 THEN j.first - j.before_value
                    WHEN j.step_rule = 1 THEN j.first - j.before_value + j.rollover
                    WHEN j.step_rule = 2 THEN j.first ELSE 0 END AS step,
               CASE WHEN j.spans THEN j.end_ns ELSE j.before_ns END AS stretch_from,
               CASE WHEN j.spans THEN j.number ELSE least(j.before_number, j.number) END AS first_number,
               CASE WHEN j.spans THEN width_bucket(j.reach_ns - 1, edges) ELSE j.number END AS last_number,
               -- The base windows without a row that it lies over.
               CASE WHEN j.spans THEN j.end_ns ELSE j.before_end_ns END AS blank_from,
               CASE WHEN j.spans THEN least(j.after_start_ns, (j.reach_ns + j.base_ns - 1) / j.base_ns * j.base_ns)
                    ELSE j.start_ns END AS blank_until
        FROM judged j
    ), reaching AS ( -- how much of it lies in its readings' own base windows
        SELECT p.*, p.adds AND p.power_unit <> '' AS has_power, lead(t.tail) OVER readings AS next_tail,
               CASE WHEN p.power_unit = '' THEN NULL
                    WHEN p.spans AND p.before_reach_ns > p.start_ns THEN gold.stretch_consumption(p.rule, p.before_ns,
                        p.before_value, p.before_reach_ns, NULL, p.before_value, p.start_ns,
                        least(p.before_reach_ns, p.end_ns))
                    WHEN p.paired AND p.adds THEN gold.stretch_consumption(p.rule, p.left_ns, p.left_value, p.right_ns,
                        p.first, p.step, greatest(p.start_ns, p.left_ns), p.right_ns) END AS head
        FROM stretches p
        CROSS JOIN LATERAL (SELECT CASE WHEN p.paired AND p.adds AND p.power_unit <> '' THEN gold.stretch_consumption(
            p.rule, p.left_ns, p.left_value, p.right_ns, p.first, p.step,
            greatest(p.before_start_ns, p.left_ns),
            least(p.before_start_ns + p.base_ns, p.right_ns)) END AS tail) AS t
        WINDOW readings AS (PARTITION BY series_id, count > 0 ORDER BY start_ns, width)
    ), shares AS ( -- of rows and stretches in each window that they lie over
        SELECT r.*, w.number AS share, w.number = r.number AS own, w.number = r.number AND r.count > 0 AS has_readings,
               edges[w.number] AS share_start, edges[w.number + 1] AS share_end,
               greatest(edges[w.number], r.stretch_from) AS share_from,
               least(edges[w.number + 1], r.right_ns) AS share_until
        FROM reaching r
        CROSS JOIN LATERAL generate_series(CASE WHEN r.adds THEN r.first_number ELSE r.number END,
            CASE WHEN r.adds THEN r.last_number ELSE r.number END) AS w(number)
        WHERE w.number BETWEEN r.from_window AND r.to_window
    ), amounts AS (
        SELECT s.*, s.adds AND s.share_from < s.share_until AS spanned,
               CASE WHEN NOT s.adds OR s.energy_unit = '' THEN 0 ELSE gold.stretch_consumption(s.rule, s.left_ns,
                   s.left_value, s.right_ns, s.first, s.step, s.share_from, s.share_until) END AS amount,
               CASE WHEN NOT s.has_readings THEN NULL WHEN s.rule = 'register' THEN s.advance
                    ELSE s.energy END AS own_energy
        FROM shares s
    ), folded AS (
        SELECT series_id, share, sum(count) FILTER (WHERE own)::bigint AS count, sum(sum) FILTER (WHERE own) AS sum,
               min(ARRAY[min, min_at_ns / 1000]) FILTER (WHERE has_readings) AS min,
               max(ARRAY[max, -(max_at_ns / 1000)]) FILTER (WHERE has_readings) AS max,
               max(first) FILTER (WHERE has_readings AND before_number IS DISTINCT FROM share) AS first,
               max(first_at_ns) FILTER (WHERE has_readings AND before_number IS DISTINCT FROM share) AS first_ns,
               max(last) FILTER (WHERE has_readings AND after_number IS DISTINCT FROM share) AS last,
               max(last_at_ns) FILTER (WHERE has_readings) AS last_ns,
               sum(coalesce(own_energy + amount, amount)) AS consumption,
               bool_or(spanned) AS spanned,
               sum(amount) FILTER (WHERE spanned AND gap) AS interpolated,
               sum(CASE WHEN has_readings THEN estimated_energy ELSE 0 END
                   + CASE WHEN 2 IN (left_quality, right_quality) THEN amount ELSE 0 END) AS estimated,
               sum(CASE WHEN has_readings THEN corrected_energy ELSE 0 END
                   + CASE WHEN 2 NOT IN (left_quality, right_quality) AND 3 IN (left_quality, right_quality)
                          THEN amount ELSE 0 END) AS corrected,
               sum(CASE WHEN has_readings THEN covered_ns ELSE 0 END
                   + CASE WHEN spanned AND (spans OR NOT gap) THEN share_until - share_from ELSE 0 END) AS covered_ns,
               sum(estimated_count) FILTER (WHERE own)::bigint AS estimated_count,
               sum(corrected_count) FILTER (WHERE own)::bigint AS corrected_count,
               sum(gaps + gap::integer) FILTER (WHERE own)::bigint AS gaps,
               sum(resets + coalesce(step_rule IN (1, 2), false)::integer) FILTER (WHERE own)::bigint AS resets,
               sum(exchanges + coalesce(step_rule = 3, false)::integer) FILTER (WHERE own)::bigint AS exchanges,
               max(peak) AS peak, sum(revision) FILTER (WHERE own)::bigint AS revision,
               max(changed_at) FILTER (WHERE own) AS changed_at
        FROM amounts a
        CROSS JOIN LATERAL ( -- whole base windows: of the row, and the first and the last without a row
            SELECT greatest(
                CASE WHEN a.has_readings AND a.power_unit <> '' AND a.end_ns - a.start_ns = a.base_ns THEN
                    ARRAY[a.own_energy + coalesce(a.head, 0) + coalesce(a.next_tail, 0),
                          -(a.start_ns / 1000000000)] END,
                CASE WHEN g.until_ns - g.from_ns >= a.base_ns THEN
                    ARRAY[gold.stretch_consumption(a.rule, a.left_ns, a.left_value, a.right_ns, a.first, a.step,
                        g.from_ns, least(g.from_ns + a.base_ns, a.right_ns)), -(g.from_ns / 1000000000)] END,
                CASE WHEN g.until_ns - g.from_ns > a.base_ns THEN
                    ARRAY[gold.stretch_consumption(a.rule, a.left_ns, a.left_value, a.right_ns, a.first, a.step,
                        g.until_ns - a.base_ns, least(g.until_ns, a.right_ns)),
                        -((g.until_ns - a.base_ns) / 1000000000)] END) AS peak
            FROM (SELECT CASE WHEN a.has_power THEN
                             (greatest(a.share_start, a.blank_from) + a.base_ns - 1) / a.base_ns * a.base_ns
                         END AS from_ns,
                         CASE WHEN a.has_power THEN
                             least(a.share_end, a.blank_until) / a.base_ns * a.base_ns END AS until_ns) AS g
        ) AS p
        GROUP BY series_id, share
    )
    SELECT c.entity, c.metric, c.unit, c.kind, nullif(c.energy_unit, ''), nullif(c.power_unit, ''),
           starts[w.number], starts[w.number + 1],
           coalesce(f.count, 0), CASE WHEN f.count > 0 THEN f.sum END, CASE WHEN f.count > 0 THEN f.sum / f.count END,
           f.min[1], gold.instant(f.min[2]::bigint), f.max[1], gold.instant(-f.max[2]::bigint),
           f.first, gold.instant(f.first_ns / 1000), f.last, gold.instant(f.last_ns / 1000),
           CASE WHEN known.energy THEN f.consumption END, CASE WHEN c.rule = 'register' THEN f.interpolated END,
           CASE WHEN known.energy THEN f.estimated END, CASE WHEN known.energy THEN f.corrected END,
           div(coalesce(f.covered_ns, 0), 1000)::double precision * interval '1 microsecond',
           coalesce(f.estimated_count, 0), coalesce(f.corrected_count, 0),
           coalesce(f.gaps, 0), coalesce(f.resets, 0), coalesce(f.exchanges, 0),
           f.peak[1] / (c.base_window * 1000000000::double precision / 3600000000000::double precision),
           to_timestamp(-f.peak[2]), c.paired AND edges[w.number + 1] > c.last_ns,
           coalesce(f.revision, 0), f.changed_at
    FROM chosen c
    CROSS JOIN LATERAL generate_series(c.from_window, c.to_window) AS w(number)
    LEFT JOIN folded f ON f.series_id = c.series_id AND f.share = w.number
    CROSS JOIN LATERAL (SELECT c.energy_unit <> '' AND (f.count > 0 OR f.spanned) AS energy) AS known
    ORDER BY c.entity, c.metric, c.unit, w.number;
END
$$;

-- Refuses what nobody can answer, in the words of the API.
CREATE FUNCTION gold.check_range(from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF from_time >= to_time THEN
        RAISE EXCEPTION 'to_time must be after from_time' USING ERRCODE = 'invalid_parameter_value';
    ELSIF least(from_time, to_time) < '1970-01-01Z' OR greatest(from_time, to_time) > '2200-01-01Z' THEN
        RAISE EXCEPTION 'from_time and to_time must be between 1970-01-01 and 2200-01-01'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT EXISTS (SELECT FROM gold.metrics_in_force) THEN
        RAISE EXCEPTION 'the catalogue in force is not in gold.metrics'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Start gold-aggregator once: it writes it.';
    END IF;
END
$$;

-- The aggregates of windows of one width, which count from 1970-01-01 00:00 UTC
-- and are a multiple of each metric's base window. A day in window_width has 24
-- hours. Null arrays select all; without from_time windows begin with each
-- series' first reading, without to_time they end with its last.
CREATE FUNCTION gold.aggregates(
    entities text[], metrics text[], from_time timestamptz, to_time timestamptz, window_width interval
) RETURNS SETOF gold.aggregate
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width bigint := extract(epoch FROM window_width);
    misfit record;
    first_ns bigint;
    last_ns bigint;
    most constant integer := 400000; -- windows, as in the API
BEGIN
    PERFORM gold.check_range(from_time, to_time);
    IF window_width IS NULL OR width <= 0
        OR extract(year FROM window_width) <> 0 OR extract(month FROM window_width) <> 0 THEN
        RAISE EXCEPTION 'window_width must be a duration above 0, without months'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For months and years use gold.calendar_aggregates.';
    END IF;
    SELECT m.entity, m.metric, make_interval(secs => m.base_window) AS base INTO misfit FROM gold.series_metrics m
    WHERE (entities IS NULL OR m.entity = ANY (entities)) AND (metrics IS NULL OR m.metric = ANY (metrics))
        AND extract(epoch FROM window_width) % m.base_window <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'window_width % is no multiple of %, the base window of % %',
            window_width, misfit.base, misfit.entity, misfit.metric USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(b.first_ns), max(b.beyond_ns) - 1 INTO first_ns, last_ns FROM gold.series_bounds(entities, metrics) AS b;
    first_ns := greatest(first_ns, gold.unix_ns(from_time)) / 1000000000 / width * width;
    last_ns := coalesce(gold.unix_ns(to_time) - 1, last_ns) / 1000000000 / width * width + width;
    IF (last_ns - first_ns) / width > most THEN
        RAISE EXCEPTION 'these are more than % windows', most
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Take wider windows or ask in parts.';
    END IF;
    RETURN QUERY SELECT a.* FROM gold.fold_windows(entities, metrics,
        ARRAY(SELECT to_timestamp(s) FROM generate_series(first_ns, last_ns, width) AS s),
        gold.unix_ns(from_time), gold.unix_ns(to_time)) AS a;
END
$$;

-- The aggregates of calendar windows: unit is day, week (from Monday), month,
-- year or gas_day (from 06:00), zone an IANA name. The rest is as in
-- gold.aggregates.
CREATE FUNCTION gold.calendar_aggregates(
    entities text[], metrics text[], from_time timestamptz, to_time timestamptz, unit text, zone text DEFAULT 'UTC'
) RETURNS SETOF gold.aggregate
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_ns bigint;
    last_ns bigint;
BEGIN
    PERFORM gold.check_range(from_time, to_time);
    SELECT min(b.first_ns), max(b.beyond_ns) - 1 INTO first_ns, last_ns FROM gold.series_bounds(entities, metrics) AS b;
    RETURN QUERY SELECT a.* FROM gold.fold_windows(entities, metrics,
        gold.calendar_starts(unit, zone, greatest(gold.instant(first_ns / 1000), from_time),
            coalesce(to_time - interval '1 microsecond', gold.instant(last_ns / 1000))),
        gold.unix_ns(from_time), gold.unix_ns(to_time)) AS a;
END
$$;

-- The latest reading that counts of each series.
CREATE VIEW gold.latest AS
SELECT m.entity, m.metric, m.unit, m.kind, gold.instant(b.last_at_ns / 1000) AS time, b.last AS value,
       (ARRAY['unspecified', 'actual', 'estimated', 'corrected', 'withdrawn'])[b.last_quality + 1] AS quality,
       b.changed_at AS last_change
FROM gold.series_metrics m
CROSS JOIN LATERAL (SELECT r.last_at_ns, r.last, r.last_quality, r.changed_at FROM gold.base r
    WHERE r.series_id = m.series_id AND r.count > 0 ORDER BY r.start DESC, r.width DESC LIMIT 1) AS b;

DO $$
DECLARE
    group_role text;
BEGIN
    FOR group_role IN SELECT rolname FROM pg_roles WHERE rolname IN ('gold_reader', 'gold_writer') LOOP
        EXECUTE format('GRANT SELECT ON gold.series_metrics, gold.row_statistics, gold.latest TO %I', group_role);
    END LOOP;
END
$$;
