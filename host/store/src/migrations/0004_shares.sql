-- What is claimed fairly between deployments, when more is due than there are slots.
CREATE INDEX flow_run_share ON flow_run (deployment, due) WHERE state = 0 AND depth = 0;
