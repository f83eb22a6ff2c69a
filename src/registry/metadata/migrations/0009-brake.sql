-- What every process that sweeps must agree on: what was swept lately, and what a person has allowed (storage.md, G5). What stops it is in gc_pauses.

-- One row a batch, append-only, so that nobody waits for anybody's count.
CREATE TABLE gc_sweeps (
  at timestamptz NOT NULL DEFAULT now(),
  objects bigint NOT NULL,
  bytes bigint NOT NULL,
  approved_bytes bigint NOT NULL -- of these bytes: what was doomed before a person said go on
);
CREATE INDEX gc_sweeps_at ON gc_sweeps (at);

-- What was doomed until then does not count for the brake.
ALTER TABLE gc_settings ADD COLUMN approved_until timestamptz NOT NULL DEFAULT '-infinity';
