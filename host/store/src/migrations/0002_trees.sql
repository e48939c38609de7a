-- Set when a person asked for a child to be run anew whatever it came to, before its parent's next attempt has asked for
-- it again: a child that ended unanswered is no call with a number that could be Forgotten.
ALTER TABLE flow_run ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;

-- Which task said a line: it may have no record yet.
ALTER TABLE log ADD COLUMN task TEXT;
UPDATE log SET task = (SELECT name FROM task_run WHERE task_run.run = log.run AND number = log.call) WHERE call > 0;
