// `limits`: how much one repository or one identity may take.

import { Type } from "typebox";

import { atLeastOne, bytes, globs, group } from "./fields.ts";

const override = Type.Object(
  {
    repositories: globs("Globs of the repositories.", 1),
    repositoryBytes: bytes("What each of them may have. 0: no limit."),
  },
  { additionalProperties: false, required: ["repositories", "repositoryBytes"] },
);

export const limits = group(
  {
    repositoryBytes: bytes(
      "What a repository of your own may have: its blobs, each once, and its manifests, deleted ones too while they can be restored. What would make it larger is refused (403). 0: no limit.",
    ),
    overrides: Type.Array(override, { description: "Repositories with another limit; the first entry that names one counts." }),
    uploadsPerIdentity: atLeastOne(
      "Upload sessions that one identity may have open at once; all without a login are one identity (429 beyond it).",
    ),
    uploads: atLeastOne("Upload sessions that all together may have open at once (429 beyond it)."),
    transfersPerIdentity: atLeastOne(
      "Blobs that one identity may push and pull at once, on each process; without a login: one client address (429 beyond it).",
    ),
  },
  "How much one repository or one identity may take.",
);
