-- Which Secrets a process has loaded, as a hash: a resource is ready when every process that lives has those that it names (record.md, "Publishing").
ALTER TABLE pods ADD COLUMN credentials text;
