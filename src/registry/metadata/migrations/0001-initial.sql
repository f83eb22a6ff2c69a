-- The whole first schema. Postgres is the truth; the blob store holds bytes under keys that are never reused.
-- Foreign keys are the proof: a bug in garbage collection gets an error, it cannot take bytes that something holds.
-- Names sort bytewise (COLLATE "C"), all times are the database's clock.

-- ---------------------------------------------------------------------------------------------- installation, settings

CREATE TABLE installation (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- The times that triggers need; written from the settings at every start.
CREATE TABLE gc_settings (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  lease interval NOT NULL DEFAULT '24 hours',
  trash_for interval NOT NULL DEFAULT '24 hours',
  doom_delay interval NOT NULL DEFAULT '48 hours'
);
INSERT INTO gc_settings DEFAULT VALUES;

-- --------------------------------------------------------------------------------------------------- names and bytes

-- One row for each first path segment: the team's own, an Upstream's, or one whose Upstream was deleted.
CREATE TABLE prefixes (
  prefix text COLLATE "C" PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('own', 'proxied', 'retired')),
  upstream text COLLATE "C" -- namespace/name, for proxied and retired ones
);

CREATE TABLE repositories (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  upstream text COLLATE "C", -- namespace/name of the Upstream; null: the team's own
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Everything that was ever announced to the blob store and is not known to be gone from it.
CREATE TABLE objects (
  key text COLLATE "C" PRIMARY KEY,
  upload_id text, -- S3 multipart upload
  size bigint,
  state text NOT NULL CHECK (state IN ('uploading', 'live', 'doomed', 'swept')),
  ever_live boolean NOT NULL DEFAULT false,
  touched_at timestamptz NOT NULL DEFAULT now(),
  doomed_at timestamptz,
  sweep_after timestamptz, -- null: doomed_at + doom_delay; of a swept one: when it is deleted (once more)
  deletions integer NOT NULL DEFAULT 0 -- how often the store confirmed that it is gone
);
CREATE INDEX objects_uploading ON objects (touched_at) WHERE state = 'uploading';
CREATE INDEX objects_doomed ON objects (doomed_at) WHERE state = 'doomed' AND sweep_after IS NULL;
CREATE INDEX objects_sweep ON objects (sweep_after) WHERE state IN ('doomed', 'swept') AND sweep_after IS NOT NULL;

CREATE TABLE blobs (
  digest text COLLATE "C" PRIMARY KEY,
  size bigint NOT NULL,
  object_key text COLLATE "C" NOT NULL UNIQUE REFERENCES objects (key),
  cached boolean NOT NULL DEFAULT false -- no own repository ever named it: its bytes go without doom_delay, upstream has them
);

-- The right to read a blob in a repository, and the lease that keeps it while a push is on its way.
CREATE TABLE repository_blobs (
  repository bigint NOT NULL REFERENCES repositories (id),
  digest text COLLATE "C" NOT NULL REFERENCES blobs (digest),
  keep_until timestamptz NOT NULL,
  PRIMARY KEY (repository, digest)
);
CREATE INDEX repository_blobs_digest ON repository_blobs (digest);

-- ------------------------------------------------------------------------------------------------ manifests and tags

CREATE TABLE manifests (
  repository bigint NOT NULL REFERENCES repositories (id),
  digest text COLLATE "C" NOT NULL,
  media_type text NOT NULL,
  bytes bytea NOT NULL,
  subject text COLLATE "C",
  artifact_type text,
  annotations json, -- not jsonb: it refuses some strings that a valid manifest may hold
  pushed_at timestamptz NOT NULL DEFAULT now(),
  untagged_since timestamptz,
  keep_until timestamptz NOT NULL,
  PRIMARY KEY (repository, digest)
);
CREATE INDEX manifests_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;

-- `held` is the digest again, as the foreign key that forbids taking it away; null where absence is allowed.
CREATE TABLE manifest_blobs (
  repository bigint NOT NULL,
  manifest text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  size bigint NOT NULL,
  held text COLLATE "C",
  PRIMARY KEY (repository, manifest, digest),
  CHECK (held IS NULL OR held = digest),
  CONSTRAINT manifest_blobs_manifest FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE CASCADE,
  CONSTRAINT manifest_blobs_held FOREIGN KEY (repository, held) REFERENCES repository_blobs (repository, digest)
);
CREATE INDEX manifest_blobs_digest ON manifest_blobs (repository, digest);
CREATE INDEX manifest_blobs_held_by ON manifest_blobs (repository, held) WHERE held IS NOT NULL;

CREATE TABLE manifest_children (
  repository bigint NOT NULL,
  manifest text COLLATE "C" NOT NULL,
  child text COLLATE "C" NOT NULL,
  platform json,
  held text COLLATE "C",
  PRIMARY KEY (repository, manifest, child),
  CHECK (held IS NULL OR held = child),
  CONSTRAINT manifest_children_manifest FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE CASCADE,
  CONSTRAINT manifest_children_held FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest)
);
CREATE INDEX manifest_children_child ON manifest_children (repository, child);
CREATE INDEX manifest_children_held_by ON manifest_children (repository, held) WHERE held IS NOT NULL;

CREATE TABLE tags (
  repository bigint NOT NULL REFERENCES repositories (id),
  name text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(), -- when it last moved
  checked_at timestamptz, -- proxied: when upstream last confirmed it
  PRIMARY KEY (repository, name),
  CONSTRAINT tags_manifest FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest)
);
CREATE INDEX tags_digest ON tags (repository, digest);

-- Append-only: every time a tag appeared (previous null), moved, or went (digest null).
CREATE TABLE tag_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repository bigint NOT NULL REFERENCES repositories (id),
  name text COLLATE "C" NOT NULL,
  digest text COLLATE "C",
  previous text COLLATE "C",
  at timestamptz NOT NULL DEFAULT now(),
  by text NOT NULL
);
CREATE INDEX tag_events_tag ON tag_events (repository, name, id);
CREATE INDEX tag_events_digest ON tag_events (repository, digest);
CREATE INDEX tag_events_previous ON tag_events (repository, previous);

-- --------------------------------------------------------------------------------------------------- version ledger

-- The published ledger of an image, whole, as `explain` shows it.
CREATE TABLE ledgers (
  repository bigint PRIMARY KEY REFERENCES repositories (id),
  document jsonb NOT NULL,
  revision text NOT NULL
);

-- Published version tags. A copied one holds its manifest; with null it behaves like copy: Reference and is queued to be copied again.
CREATE TABLE ledger (
  repository bigint NOT NULL REFERENCES repositories (id),
  tag text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  version text NOT NULL,
  held text COLLATE "C",
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (repository, tag),
  CHECK (held IS NULL OR held = digest),
  CONSTRAINT ledger_held FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest)
);
CREATE INDEX ledger_digest ON ledger (repository, digest);

-- The copied evidence of version tags: manifests that must stay as long as the tag.
CREATE TABLE ledger_evidence (
  repository bigint NOT NULL,
  tag text COLLATE "C" NOT NULL,
  held text COLLATE "C" NOT NULL,
  PRIMARY KEY (repository, tag, held),
  FOREIGN KEY (repository, tag) REFERENCES ledger (repository, tag) ON DELETE CASCADE,
  CONSTRAINT ledger_evidence_held FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest)
);
CREATE INDEX ledger_evidence_held_by ON ledger_evidence (repository, held);

CREATE TABLE runs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  kind text NOT NULL CHECK (kind IN ('tag-sync', 'prune')),
  policy text COLLATE "C" NOT NULL, -- namespace/name
  generation bigint NOT NULL DEFAULT 0, -- of the policy, when the run was registered
  trigger text NOT NULL CHECK (trigger IN ('schedule', 'manual')),
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'succeeded', 'failed')),
  started_at timestamptz NOT NULL DEFAULT now(),
  touched_at timestamptz NOT NULL DEFAULT now(), -- when its job was last heard
  finished_at timestamptz,
  progress jsonb,
  result jsonb
);
CREATE INDEX runs_policy ON runs (kind, policy, started_at);

-- What a run settled about a digest at a source tag, so that an unchanged digest costs nothing. `retry_at` null: finished.
CREATE TABLE sync_outcomes (
  policy text COLLATE "C" NOT NULL,
  generation bigint NOT NULL,
  repository text COLLATE "C" NOT NULL,
  source_tag text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  outcome text NOT NULL, -- Minted, or the name of the failure
  message text,
  first_seen timestamptz NOT NULL DEFAULT now(),
  checked_at timestamptz NOT NULL DEFAULT now(),
  retry_at timestamptz,
  PRIMARY KEY (policy, generation, repository, source_tag, digest)
);

-- Versions found by tag-sync, or to be retired by prune, waiting to be committed to Git.
CREATE TABLE proposals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run uuid REFERENCES runs (id),
  kind text NOT NULL CHECK (kind IN ('mint', 'retire')),
  policy text COLLATE "C" NOT NULL,
  repository text COLLATE "C" NOT NULL, -- with its prefix
  body jsonb NOT NULL,
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'published', 'refused')),
  reason text,
  revision text,
  created_at timestamptz NOT NULL DEFAULT now(),
  settled_at timestamptz
);
CREATE INDEX proposals_waiting ON proposals (id) WHERE state = 'waiting';
CREATE INDEX proposals_repository ON proposals (repository, id);
CREATE INDEX proposals_run ON proposals (run);

-- Manifests that a waiting proposal has pinned (its closure stays until the proposal is settled).
CREATE TABLE proposal_pins (
  proposal bigint NOT NULL REFERENCES proposals (id) ON DELETE CASCADE,
  repository bigint NOT NULL,
  held text COLLATE "C" NOT NULL,
  PRIMARY KEY (proposal, repository, held),
  CONSTRAINT proposal_pins_held FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest)
);
CREATE INDEX proposal_pins_held_by ON proposal_pins (repository, held);

-- ------------------------------------------------------------------------------------------------------------ uploads

CREATE TABLE uploads (
  id uuid PRIMARY KEY,
  repository text COLLATE "C" NOT NULL, -- its name: a permission probe makes no repository and takes no prefix
  identity text NOT NULL,
  writer uuid, -- the request that owns the session now
  algorithm text NOT NULL DEFAULT 'sha256',
  "offset" bigint NOT NULL DEFAULT 0,
  prefix_digest text,
  hash_state bytea,
  object_key text COLLATE "C" REFERENCES objects (key) ON DELETE SET NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX uploads_expiry ON uploads (expires_at);
CREATE INDEX uploads_object ON uploads (object_key);
CREATE INDEX uploads_identity ON uploads (identity, expires_at);

-- Which Upstream's bytes these are: only the same Upstream may link them without fetching them again.
CREATE TABLE blob_origins (
  digest text COLLATE "C" NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
  upstream text COLLATE "C" NOT NULL,
  PRIMARY KEY (digest, upstream)
);

-- --------------------------------------------------------------------------------------- statistics, trash, collection

CREATE TABLE pulls (
  repository bigint NOT NULL REFERENCES repositories (id),
  digest text COLLATE "C" NOT NULL,
  tag text COLLATE "C" NOT NULL DEFAULT '', -- '' : pulled by digest
  last_at timestamptz NOT NULL,
  count bigint NOT NULL,
  PRIMARY KEY (repository, digest, tag)
);

CREATE TABLE trash (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repository bigint NOT NULL REFERENCES repositories (id),
  tags text[] NOT NULL,
  digest text COLLATE "C" NOT NULL,
  media_type text NOT NULL,
  bytes bytea NOT NULL,
  deleted_at timestamptz NOT NULL DEFAULT now(),
  by text NOT NULL,
  reason text NOT NULL
);
CREATE INDEX trash_manifest ON trash (repository, digest);
CREATE INDEX trash_age ON trash (deleted_at);

-- Append-only, no key but its id, no foreign key: nobody ever waits for a queue row.
CREATE TABLE gc_queue (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repository bigint NOT NULL,
  digest text COLLATE "C" NOT NULL,
  review_after timestamptz NOT NULL
);
CREATE INDEX gc_queue_due ON gc_queue (review_after, id);
CREATE INDEX gc_queue_link ON gc_queue (repository, digest, review_after);

-- What became visible, for the memory view of every process.
CREATE TABLE changes (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  key text NOT NULL
);
CREATE INDEX changes_xid ON changes (xid);

-- -------------------------------------------------------------------------------------------------- publish and people

CREATE TABLE record (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  revision text NOT NULL,
  document jsonb NOT NULL,
  published_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pods (
  id text PRIMARY KEY,
  revision text,
  seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE workloads (
  cluster text PRIMARY KEY,
  reported_at timestamptz NOT NULL DEFAULT now(),
  document jsonb NOT NULL
);

CREATE TABLE plans (
  id text PRIMARY KEY, -- hash of the whole plan
  policy text COLLATE "C" NOT NULL,
  document jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  applied_at timestamptz
);
CREATE INDEX plans_policy ON plans (policy, created_at);

CREATE TABLE activity (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  identity text NOT NULL,
  action text NOT NULL,
  repository text COLLATE "C",
  reference text,
  detail jsonb
);

-- ----------------------------------------------------------------------------------------------------------- triggers

-- When a lost reference is looked at: trash_for from now, unless this transaction says otherwise (eviction, purge: '0').
CREATE FUNCTION review_time() RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT now() + coalesce(
    nullif(current_setting('wharfinger.review_delay', true), '')::interval,
    (SELECT trash_for FROM gc_settings)
  )
$$;

CREATE FUNCTION queue_new_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO gc_queue (repository, digest, review_after)
  SELECT repository, digest, keep_until FROM inserted ORDER BY repository, digest;
  RETURN NULL;
END $$;
CREATE TRIGGER repository_blobs_inserted AFTER INSERT ON repository_blobs
  REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION queue_new_links();

CREATE FUNCTION queue_lost_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO gc_queue (repository, digest, review_after)
  SELECT repository, digest, now() FROM deleted ORDER BY repository, digest;
  INSERT INTO changes (key)
  SELECT 'blob:' || repository || ':' || digest FROM deleted;
  RETURN NULL;
END $$;
CREATE TRIGGER repository_blobs_deleted AFTER DELETE ON repository_blobs
  REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION queue_lost_links();

CREATE FUNCTION queue_lost_references() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO gc_queue (repository, digest, review_after)
  SELECT DISTINCT repository, digest, review_time() FROM deleted ORDER BY repository, digest;
  RETURN NULL;
END $$;
CREATE TRIGGER manifest_blobs_deleted AFTER DELETE ON manifest_blobs
  REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION queue_lost_references();

CREATE FUNCTION note_manifest_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key) SELECT 'manifest:' || repository || ':' || digest FROM changed;
  RETURN NULL;
END $$;
CREATE TRIGGER manifests_deleted AFTER DELETE ON manifests
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_manifest_changes();

CREATE FUNCTION note_tag_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key) SELECT DISTINCT 'tag:' || repository || ':' || name FROM changed;
  RETURN NULL;
END $$;
CREATE TRIGGER tags_inserted AFTER INSERT ON tags
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_tag_changes();
CREATE TRIGGER tags_deleted AFTER DELETE ON tags
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_tag_changes();
-- That upstream confirmed where a tag points changes nothing for anybody who remembers it.
CREATE FUNCTION note_tag_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key)
  SELECT 'tag:' || repository || ':' || name FROM changed JOIN before USING (repository, name)
  WHERE changed.digest <> before.digest;
  RETURN NULL;
END $$;
CREATE TRIGGER tags_moved AFTER UPDATE ON tags
  REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_tag_moves();

CREATE FUNCTION note_record_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key) VALUES ('record');
  RETURN NULL;
END $$;
CREATE TRIGGER record_changed AFTER INSERT OR UPDATE ON record
  FOR EACH STATEMENT EXECUTE FUNCTION note_record_change();
