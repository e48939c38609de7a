-- Times are microseconds since the Unix epoch; digests and run ids are their bytes; what is empty is NULL.
-- Tables that only grow are rowid tables with a unique index beside them: appending is a quarter faster than a
-- clustered key (docs: performance.md, "What this decides", 11).

CREATE TABLE meta (
    boot INTEGER NOT NULL -- How often the store was opened for writing: claims of earlier boots are void.
) STRICT;
INSERT INTO meta (boot) VALUES (0);

CREATE TABLE component (
    digest   BLOB    NOT NULL PRIMARY KEY, -- Names the file with the bytes, too.
    bytes    INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    version  TEXT    NOT NULL,
    info     TEXT    NOT NULL,             -- JSON of ComponentInfo.
    uploaded INTEGER NOT NULL
) STRICT;

-- The queue row is the run row. What people see (Late, Retrying, AwaitingRetry …) is computed from `state`, `waiting`,
-- `due` and `attempt`, and where lists filter by it that is said in SQL again (sqlite/rows.rs, `shown_condition`), so
-- that a page is never short.
CREATE TABLE flow_run (
    row               INTEGER PRIMARY KEY, -- In the order of making; what other tables refer to.
    id                BLOB    NOT NULL,    -- 16 bytes that sort by the time of making.
    name              TEXT    NOT NULL,    -- The friendly one.
    component         BLOB    NOT NULL REFERENCES component (digest),
    flow              TEXT    NOT NULL,
    deployment        TEXT,
    queue             TEXT    NOT NULL,
    overrides         TEXT,                -- JSON of Overrides.
    idempotency_key   TEXT,
    parent            BLOB,                -- The id of the run that asked for it …
    parent_call       INTEGER,             -- … and which of its calls did.
    root              BLOB    NOT NULL,    -- The id of the run at the top of the tree.
    depth             INTEGER NOT NULL,
    created           INTEGER NOT NULL,
    begin_from        INTEGER NOT NULL,    -- When it was to begin, as asked for; `due` is when it goes on.
    state             INTEGER NOT NULL,    -- 0 Scheduled 1 Running 2 Cancelling 3 Parked 4 Completed 5 Failed 6 TimedOut
                                           -- 7 Crashed 8 Cancelled 9 Paused
    waiting           INTEGER,             -- While Scheduled or Paused: 0 Start 1 Retry 2 Suspended 3 Worker
    due               INTEGER,             -- While Scheduled or Paused.
    fence             INTEGER,             -- While claimed: whoever shows it may report …
    boot              INTEGER,             -- … and which opening of the store claimed it.
    owner             TEXT,                -- For several nodes: who claimed it …
    lease_until       INTEGER,             -- … and until when it is believed alive.
    attempt           INTEGER NOT NULL,
    round             INTEGER NOT NULL,
    spent             TEXT,                -- JSON of Spent.
    round_began       INTEGER,
    attempt_began     INTEGER,
    lost              INTEGER NOT NULL,
    ended             INTEGER,
    failure           TEXT,                -- JSON of Failure.
    -- A value is text here, or a file named by its digest. Last in the row, so that reading the rest skips it.
    result            TEXT,
    result_blob       BLOB,
    result_bytes      INTEGER,
    parameters        TEXT,
    parameters_blob   BLOB,
    parameters_bytes  INTEGER
) STRICT;
CREATE UNIQUE INDEX flow_run_id ON flow_run (id);
CREATE UNIQUE INDEX flow_run_key ON flow_run (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX flow_run_name ON flow_run (name, id);
CREATE INDEX flow_run_flow ON flow_run (flow, id);
CREATE INDEX flow_run_parent ON flow_run (parent, id) WHERE parent IS NOT NULL;
-- What claims look at: small, however many runs have ended.
CREATE INDEX flow_run_due ON flow_run (depth, due) WHERE state = 0;
CREATE INDEX flow_run_tree_due ON flow_run (root, depth, due) WHERE state = 0;
CREATE INDEX flow_run_claimed ON flow_run (boot) WHERE state IN (1, 2);

CREATE TABLE task_run (
    row           INTEGER PRIMARY KEY,
    run           INTEGER NOT NULL REFERENCES flow_run (row),
    number        INTEGER NOT NULL,
    kind          INTEGER NOT NULL, -- 0 task 1 flow 2 sleep
    name          TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    input_digest  BLOB,             -- Of the canonical input, unless …
    key           TEXT,             -- … the author's key stands for it.
    occurrence    INTEGER NOT NULL,
    label         TEXT,
    state         INTEGER NOT NULL, -- 0 AwaitingRetry 1 Completed 2 Failed 3 Cancelled 4 Forgotten
    due           INTEGER,          -- While AwaitingRetry.
    flow_attempt  INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    round         INTEGER NOT NULL,
    spent         TEXT,
    round_began   INTEGER NOT NULL,
    began         INTEGER NOT NULL,
    ended         INTEGER NOT NULL,
    told          INTEGER,          -- Where it was before `ended`.
    done          INTEGER NOT NULL,
    by_hand       INTEGER NOT NULL, -- 1 where a person set the result.
    failure       TEXT,
    cpu_us        INTEGER NOT NULL,
    peak_memory   INTEGER NOT NULL,
    bytes_out     INTEGER NOT NULL,
    log_dropped   INTEGER NOT NULL,
    input         TEXT,
    input_blob    BLOB,
    input_bytes   INTEGER,
    result        TEXT,
    result_blob   BLOB,
    result_bytes  INTEGER
) STRICT;
CREATE UNIQUE INDEX task_run_number ON task_run (run, number);

CREATE TABLE attempt (
    row          INTEGER PRIMARY KEY,
    run          INTEGER NOT NULL REFERENCES flow_run (row),
    call         INTEGER NOT NULL, -- 0 for the flow itself.
    attempt      INTEGER NOT NULL,
    began        INTEGER NOT NULL,
    ended        INTEGER NOT NULL,
    failure      TEXT,
    cpu_us       INTEGER NOT NULL,
    peak_memory  INTEGER NOT NULL,
    bytes_out    INTEGER NOT NULL,
    log_dropped  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX attempt_number ON attempt (run, call, attempt);

CREATE TABLE log (
    row      INTEGER PRIMARY KEY, -- What pages of a log are asked for by.
    run      INTEGER NOT NULL REFERENCES flow_run (row),
    at       INTEGER NOT NULL,
    call     INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    level    INTEGER NOT NULL,    -- 0 trace 1 debug 2 info 3 warn 4 error
    message  TEXT    NOT NULL,
    fields   TEXT
) STRICT;
CREATE INDEX log_run ON log (run);

CREATE TABLE event (
    seq      INTEGER PRIMARY KEY,
    run      INTEGER NOT NULL REFERENCES flow_run (row),
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    details  TEXT    NOT NULL
) STRICT;
CREATE INDEX event_run ON event (run);
