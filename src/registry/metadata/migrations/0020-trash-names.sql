-- What a manifest in the trash names: its subject, children and blobs, each by the first 64 bits of its digest, which are spread well enough to be a
-- key of their own. Null: the version before put it there; until it is pruned it is found by its bytes.
ALTER TABLE trash ADD COLUMN names bigint[];
CREATE FUNCTION digest_key(digest text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT ('x' || left(split_part(digest, ':', 2), 16))::bit(64)::bigint
$$;
