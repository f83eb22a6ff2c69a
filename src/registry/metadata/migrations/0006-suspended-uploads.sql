-- A session may have several objects (an upload of parts and what is too small to be one), and the store says how it goes on with them.
ALTER TABLE objects ADD COLUMN session uuid; -- which upload session announced it
CREATE INDEX objects_session ON objects (session) WHERE state = 'uploading' AND session IS NOT NULL;
ALTER TABLE uploads ADD COLUMN suspended text; -- null: no byte is durable yet

UPDATE objects SET session = uploads.id FROM uploads WHERE uploads.object_key = objects.key;
UPDATE uploads SET suspended = object_key WHERE object_key IS NOT NULL AND "offset" > 0;
