-- The order in which runs ended: who follows them asks for those after the last one heard. Given under a lock that lives until the
-- commit, so that nobody ever sees a later number before an earlier one.
CREATE SEQUENCE runs_ended;
ALTER TABLE runs ADD COLUMN ended bigint; -- null while it runs

UPDATE runs SET ended = numbered.ended
FROM (SELECT id, row_number() OVER (ORDER BY finished_at, id) AS ended FROM runs WHERE state <> 'running') numbered
WHERE runs.id = numbered.id;
SELECT setval('runs_ended', (SELECT coalesce(max(ended), 0) + 1 FROM runs), false);

CREATE UNIQUE INDEX runs_by_end ON runs (ended) WHERE ended IS NOT NULL;
CREATE INDEX runs_by_end_of_policy ON runs (kind, policy, ended DESC) WHERE ended IS NOT NULL;
