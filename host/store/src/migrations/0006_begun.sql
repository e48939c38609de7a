-- The last attempt of its flow that came to its end without asking for it again, though its result was kept. `state` may
-- be 5, Running: what takes long, and what the end of its flow's attempt stopped.
ALTER TABLE task_run ADD COLUMN unasked INTEGER NOT NULL DEFAULT 0;

-- Why the attempt failed that the notice tells of: by the time it is told, the run may have been retried.
ALTER TABLE notice ADD COLUMN failure TEXT;

-- When the file of a component was removed that runs which need it no more are still pinned to; what it said about itself
-- stays.
ALTER TABLE component ADD COLUMN removed INTEGER;
