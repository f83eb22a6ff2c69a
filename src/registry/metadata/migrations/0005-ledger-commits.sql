-- Which commit of the record brought each build of a ledger, by digest: explain names it.
ALTER TABLE ledgers ADD COLUMN commits jsonb NOT NULL DEFAULT '{}';
