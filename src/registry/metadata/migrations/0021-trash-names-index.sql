-- concurrently
CREATE INDEX CONCURRENTLY trash_names ON trash USING gin (names);
