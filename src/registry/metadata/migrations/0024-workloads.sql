-- What clusters use, as their reporters say (retention.md, `inUse`). Only what changed since the report before is written: most images of a cluster
-- are the same as ten minutes ago.

CREATE TABLE workload_reports (
  cluster text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL, -- moves with each report: who has read this one need not read the images again
  taken_at timestamptz, -- the moment of the newest whole report; NULL: there was none
  namespaces text[], -- what that one covers; NULL: the whole cluster
  problem text -- why no whole report came since
);

CREATE TABLE workload_images (
  cluster text COLLATE "C" NOT NULL REFERENCES workload_reports (cluster) ON DELETE CASCADE,
  image text COLLATE "C" NOT NULL, -- as the cluster writes it
  first_seen timestamptz NOT NULL,
  last_seen timestamptz, -- NULL: it is in the newest whole report
  PRIMARY KEY (cluster, image)
);
