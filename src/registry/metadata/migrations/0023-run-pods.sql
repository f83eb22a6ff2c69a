-- Runs whose job is a Pod: its token acts for this run and no other, while it is under way (access.md, "Control API"). A Pod has one run.
CREATE TABLE run_pods (
  run uuid PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  pod text COLLATE "C" NOT NULL UNIQUE,
  approved text -- prune: the stopped plan that this run may apply
);
