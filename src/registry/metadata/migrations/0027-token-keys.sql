-- What access tokens are signed with, for all processes of the installation. The highest generation is the newest; two that make one at once make the same.
-- beside 0026
CREATE TABLE token_keys (
  generation integer PRIMARY KEY,
  id text NOT NULL UNIQUE,
  -- A JSON Web Key with its private part.
  key text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
