-- Subjects that were deleted while more of what refers to them than fits into one transaction waits to follow (storage.md, D1).
CREATE TABLE departed (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repository bigint NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  digest text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(), -- what was pushed later does not follow
  taken_to text COLLATE "C" NOT NULL DEFAULT '', -- followers up to this digest were judged
  by text NOT NULL,
  reason text NOT NULL,
  trash boolean NOT NULL, -- false: a purge
  heeds_protection boolean NOT NULL -- a client's delete: protected tags hold
);
CREATE INDEX departed_subject ON departed (repository, digest);
