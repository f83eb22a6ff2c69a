-- Tag events are forgotten by their age, oldest first, unless something still asks about them (gc-prune.ts).
CREATE INDEX tag_events_age ON tag_events (at, id);
