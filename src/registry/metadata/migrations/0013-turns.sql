-- Work that one process does for all of them: a row names who has the turn, and until when without another word. A session's advisory lock
-- would not survive a connection pooler, nor a connection that breaks.
CREATE TABLE turns (
  name text PRIMARY KEY,
  holder text NOT NULL,
  until timestamptz NOT NULL
);
