-- A repository has its deleted manifests until they are pruned, as it has their blobs (0010-repository-usage.sql). Deletes wait for this sum: with
-- triggers that are committed before it, what was there could be counted twice.
CREATE TRIGGER trash_counted AFTER INSERT ON trash
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_manifests();
CREATE TRIGGER trash_discounted AFTER DELETE ON trash
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_manifests();
INSERT INTO repository_usage (repository, bytes, xid)
SELECT repository, sum(length(bytes)), NULL FROM trash GROUP BY repository HAVING sum(length(bytes)) > 0;
