-- Gold: content and bookkeeping. Names are compared by bytes (COLLATE "C"), so
-- that order and indexes do not depend on the machine's locale.

CREATE TABLE gold.series (
    id     bigint PRIMARY KEY,          -- hash of the natural key, computed by the writer
    entity text COLLATE "C" NOT NULL,
    metric text COLLATE "C" NOT NULL,
    unit   text COLLATE "C" NOT NULL,
    UNIQUE (entity, metric, unit)
);
CREATE INDEX series_by_metric ON gold.series (metric, entity);

-- Base rows. Statistics are those of energy.v1.Statistics; times are Unix ns.
-- Nothing but the key is indexed, so that updates stay HOT.
CREATE TABLE gold.base (
    series_id          bigint           NOT NULL,
    start              timestamptz      NOT NULL,
    width              integer          NOT NULL, -- seconds
    count              bigint           NOT NULL,
    sum                double precision NOT NULL,
    min                double precision NOT NULL,
    min_at_ns          bigint           NOT NULL,
    max                double precision NOT NULL,
    max_at_ns          bigint           NOT NULL,
    first              double precision NOT NULL,
    first_at_ns        bigint           NOT NULL,
    last               double precision NOT NULL,
    last_at_ns         bigint           NOT NULL,
    squared_deviations double precision NOT NULL,
    energy             double precision NOT NULL,
    advance            double precision NOT NULL,
    covered_ns         bigint           NOT NULL,
    gaps               bigint           NOT NULL,
    resets             bigint           NOT NULL,
    exchanges          bigint           NOT NULL,
    estimated_count    bigint           NOT NULL,
    corrected_count    bigint           NOT NULL,
    estimated_energy   double precision NOT NULL,
    corrected_energy   double precision NOT NULL,
    flags              bigint           NOT NULL,
    first_quality      smallint         NOT NULL,
    last_quality       smallint         NOT NULL,
    epoch              bigint           NOT NULL,
    revision           bigint           NOT NULL, -- grows by one with each change
    samples            bytea            NOT NULL,
    stamps             bytea            NOT NULL,
    changed_at         timestamptz      NOT NULL,
    PRIMARY KEY (series_id, start, width)
) PARTITION BY RANGE (start);
ALTER TABLE gold.base ALTER COLUMN samples SET STORAGE EXTERNAL;
ALTER TABLE gold.base ALTER COLUMN stamps SET STORAGE EXTERNAL;

-- Parents: folds of base rows, for days that are closed and quiet. A stale one
-- is not to be used.
CREATE TABLE gold.hours (
    LIKE gold.base,
    stale boolean NOT NULL DEFAULT false,
    PRIMARY KEY (series_id, start, width)
) PARTITION BY RANGE (start);
ALTER TABLE gold.hours DROP COLUMN samples, DROP COLUMN stamps;

CREATE TABLE gold.days (
    LIKE gold.hours,
    PRIMARY KEY (series_id, start, width)
) WITH (fillfactor = 70);
ALTER TABLE gold.days ALTER COLUMN stale SET DEFAULT false;

-- How far each stage has read its input. It moves in the transaction that
-- stores what it covers. A row that was never moved has an empty stream.
CREATE TABLE gold.positions (
    stage          text        NOT NULL,
    partition      integer     NOT NULL,
    stream         text        NOT NULL DEFAULT '',
    stream_created timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00',
    sequence       bigint      NOT NULL DEFAULT 0,
    -- Receive time of the message at sequence in Unix ns, 0 when there is none.
    -- It tells that message from another that took its sequence after the
    -- stream lost its tail.
    received_ns    bigint      NOT NULL DEFAULT 0,
    readings_in    bigint      NOT NULL DEFAULT 0,
    readings_out   bigint      NOT NULL DEFAULT 0,
    quarantined    bigint      NOT NULL DEFAULT 0,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stage, partition)
) WITH (fillfactor = 50);

-- Raised by who takes versions out of rows of a partition; writers then drop
-- what they remember. No row means generation 0.
CREATE TABLE gold.generations (
    partition  integer PRIMARY KEY,
    generation bigint NOT NULL
);

-- Feed messages that are committed and not yet published.
CREATE TABLE gold.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition  integer     NOT NULL,
    subject    text        NOT NULL,
    payload    bytea       NOT NULL,
    headers    jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE gold.outbox ALTER COLUMN payload SET STORAGE EXTERNAL;

-- Projection of the quarantine. stream and index number the ingress stream and
-- the reading in its message; sequences, epochs and rules are unsigned.
CREATE TABLE gold.quarantine (
    received_ns bigint NOT NULL,
    stream      bigint NOT NULL,
    sequence    bigint NOT NULL,
    index       bigint NOT NULL,
    stage       text   NOT NULL,
    rule        text   NOT NULL,
    epoch       bigint NOT NULL,
    rules       bigint NOT NULL,
    entity      text   NOT NULL,
    metric      text   NOT NULL,
    unit        text   NOT NULL,
    event_at_ns bigint NOT NULL,
    value       double precision NOT NULL,
    quality     smallint NOT NULL,
    revision    numeric(20) NOT NULL, -- a refused revision may exceed a bigint
    length_ns   bigint NOT NULL,
    detail      text   NOT NULL,
    payload     bytea,
    state       text   NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'released', 'discarded')),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (received_ns, stream, sequence, index, stage, rule, epoch)
);
CREATE INDEX quarantine_open ON gold.quarantine (stage, rule) WHERE state = 'open';

-- The registry of entities; what holds from valid_from on.
CREATE TABLE gold.entities (
    id         text COLLATE "C" NOT NULL,
    valid_from timestamptz NOT NULL,
    name       text  NOT NULL DEFAULT '',
    zone       text  NOT NULL DEFAULT 'UTC',
    parent     text COLLATE "C",
    labels     jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (id, valid_from)
);

-- One row a batch run.
CREATE TABLE gold.batches (
    id           text PRIMARY KEY,
    kind         text        NOT NULL,
    state        text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed')),
    selection    jsonb       NOT NULL,
    counts       jsonb       NOT NULL DEFAULT '{}', -- per layer and rule
    changes      jsonb       NOT NULL DEFAULT '{}', -- rows inserted, updated, unchanged
    timings      jsonb       NOT NULL DEFAULT '{}',
    code_version text        NOT NULL,
    epoch        bigint      NOT NULL,
    error        text,
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz
);

-- The catalogues that gold was computed under.
CREATE TABLE gold.epochs (
    number       bigint PRIMARY KEY,
    hash         text        NOT NULL,
    document     text        NOT NULL,
    activated_at timestamptz NOT NULL DEFAULT now()
);
