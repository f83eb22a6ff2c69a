-- What else pulls remember, and what must be told of it (storage.md, "Reading").

-- A version tag came, moved or went: pulls find it under the name of the tag.
CREATE FUNCTION note_version_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key) SELECT 'tag:' || repository || ':' || tag FROM changed;
  RETURN NULL;
END $$;
CREATE TRIGGER ledger_inserted AFTER INSERT ON ledger
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_version_changes();
CREATE TRIGGER ledger_deleted AFTER DELETE ON ledger
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_version_changes();
-- Every publish writes all versions of an image again, nearly all as they were.
CREATE FUNCTION note_version_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key)
  SELECT 'tag:' || repository || ':' || tag FROM changed JOIN before USING (repository, tag)
  WHERE changed.digest <> before.digest;
  RETURN NULL;
END $$;
CREATE TRIGGER ledger_moved AFTER UPDATE ON ledger
  REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_version_moves();

-- That upstream confirmed where a tag points changes nothing for anybody who remembers it: they ask again when theirs is old. That it does
-- not count as confirmed any longer does.
CREATE OR REPLACE FUNCTION note_tag_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key)
  SELECT 'tag:' || repository || ':' || name FROM changed JOIN before USING (repository, name)
  WHERE changed.digest <> before.digest OR coalesce(changed.checked_at, '-infinity') < coalesce(before.checked_at, '-infinity');
  RETURN NULL;
END $$;

-- An own repository in which nothing was left went to an Upstream.
CREATE FUNCTION note_repository_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key) VALUES ('repository:' || NEW.name);
  RETURN NULL;
END $$;
CREATE TRIGGER repositories_upstream AFTER UPDATE OF upstream ON repositories
  FOR EACH ROW WHEN (OLD.upstream IS DISTINCT FROM NEW.upstream) EXECUTE FUNCTION note_repository_update();

-- The same bytes may be pushed as another media type, where they name none. Pulls remember manifests by digest, and by each tag.
CREATE FUNCTION note_manifest_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (key) VALUES ('manifest:' || NEW.repository || ':' || NEW.digest);
  INSERT INTO changes (key)
  SELECT 'tag:' || repository || ':' || name FROM tags WHERE repository = NEW.repository AND digest = NEW.digest;
  RETURN NULL;
END $$;
CREATE TRIGGER manifests_media_type AFTER UPDATE OF media_type ON manifests
  FOR EACH ROW WHEN (OLD.media_type IS DISTINCT FROM NEW.media_type) EXECUTE FUNCTION note_manifest_update();
CREATE TRIGGER manifests_bytes AFTER UPDATE OF bytes ON manifests
  FOR EACH ROW WHEN (OLD.bytes IS DISTINCT FROM NEW.bytes) EXECUTE FUNCTION note_manifest_update();
