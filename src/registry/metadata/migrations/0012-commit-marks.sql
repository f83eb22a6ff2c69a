-- A row for each transaction that writes, under a fresh token: who loses the answer to a COMMIT asks for the row (commit-marks.ts).
-- No key: a database that was restored from a dump counts its transactions anew.

CREATE TABLE commits (
  at timestamptz NOT NULL DEFAULT now(),
  token uuid NOT NULL
);
CREATE INDEX commits_at ON commits (at, token);
