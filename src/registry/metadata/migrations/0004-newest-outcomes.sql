-- The ten newest digests of each source tag are read, and kept (sync-outcomes.ts), however many were settled.
CREATE INDEX sync_outcomes_newest ON sync_outcomes (policy, generation, repository, source_tag, checked_at DESC, digest);
