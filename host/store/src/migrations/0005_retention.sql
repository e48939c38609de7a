-- Files that a removed row spoke of: looked at later, and removed when no row speaks of them then.
CREATE TABLE garbage (
    digest  BLOB    NOT NULL PRIMARY KEY,
    since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who speaks of a file. Small: most values are in the rows themselves.
CREATE INDEX flow_run_parameters_blob ON flow_run (parameters_blob) WHERE parameters_blob IS NOT NULL;
CREATE INDEX flow_run_result_blob ON flow_run (result_blob) WHERE result_blob IS NOT NULL;
CREATE INDEX task_run_input_blob ON task_run (input_blob) WHERE input_blob IS NOT NULL;
CREATE INDEX task_run_result_blob ON task_run (result_blob) WHERE result_blob IS NOT NULL;
