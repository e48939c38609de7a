-- What people define beside runs, such as deployments and tokens. The store does not look into it.
CREATE TABLE definition (
    kind       TEXT    NOT NULL, -- deployment, schedule, notification, token, queue
    name       TEXT    NOT NULL,
    body       TEXT    NOT NULL, -- JSON.
    component  BLOB    REFERENCES component (digest),
    version    INTEGER NOT NULL, -- How often it was changed, from 1.
    updated    INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;

CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL, -- The name of a token.
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    details  TEXT    NOT NULL  -- A JSON object.
) STRICT;
CREATE INDEX audit_subject ON audit (subject, seq);

-- A row is here until it is taken. AUTOINCREMENT, because a number that is given out again would let a second answer to
-- an old notice take a new one.
CREATE TABLE notice (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    run      INTEGER NOT NULL REFERENCES flow_run (row),
    at       INTEGER NOT NULL,
    shown    TEXT    NOT NULL, -- The word that people see.
    attempt  INTEGER NOT NULL
) STRICT;

CREATE TABLE delivery (
    seq       INTEGER PRIMARY KEY,
    rule      TEXT    NOT NULL, -- The name of a notification, which may be gone.
    run       BLOB,             -- The id of the run that it tells of.
    body      TEXT    NOT NULL, -- JSON.
    state     INTEGER NOT NULL, -- 0 pending 1 delivered 2 given up
    due       INTEGER,          -- While pending.
    attempts  INTEGER NOT NULL,
    answer    TEXT,
    created   INTEGER NOT NULL,
    ended     INTEGER
) STRICT;
CREATE INDEX delivery_due ON delivery (due) WHERE state = 0;
CREATE INDEX delivery_rule ON delivery (rule, seq);

-- What lists walk, newest first: the runs of one deployment, and those that people have to look at, however many others
-- there are.
CREATE INDEX flow_run_deployment ON flow_run (deployment, id) WHERE deployment IS NOT NULL;
CREATE INDEX flow_run_trouble ON flow_run (id) WHERE state IN (3, 5, 6, 7, 8);
