-- What must be remembered, so that nobody gains a right or stops the collector by what he says.

-- The repository had this blob, and its bytes were lost: when they turn up they are its again (adoption.ts). Who only ever named the digest gains
-- nothing. By a trigger, so that no code path can forget, of the version before neither. What was let go before this column is not known to have
-- been held: such bytes stay unknown, and a push of the image brings them back.
ALTER TABLE manifest_blobs ADD COLUMN once_held boolean NOT NULL DEFAULT false;
CREATE FUNCTION remember_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.once_held := true;
  RETURN NEW;
END $$;
CREATE TRIGGER manifest_blobs_let_go BEFORE UPDATE OF held ON manifest_blobs
  FOR EACH ROW WHEN (OLD.held IS NOT NULL AND NEW.held IS NULL) EXECUTE FUNCTION remember_held();

-- Bytes that the store had already under another key: nobody has seen these, so it says nothing that they go (gc-brake.ts). The version before
-- leaves false, and counts them as it did.
ALTER TABLE objects ADD COLUMN surplus boolean NOT NULL DEFAULT false;
