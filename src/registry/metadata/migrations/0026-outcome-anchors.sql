-- What a digest was judged with: the policy's keys and trusted root, as a hash. Refused under others, it is looked at again (tag-sync.md, "One run").
ALTER TABLE sync_outcomes ADD COLUMN anchors text;
