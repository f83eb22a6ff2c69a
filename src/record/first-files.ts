// The first commit of a record.

import { trailers } from "../api/conditions.ts";
import type { PlannedCommit } from "./commits.ts";

const sourceIgnore = `# Flux finds nothing to apply here: these files are what Wharfinger serves, not what it is configured with.
/**
`;

const readme = `# What this registry serves

Wharfinger commits here before it serves: each change of its configuration and each version tag is one commit, and the registry serves what the newest commit says.

    git log                    who changed what, when and why
    git revert <commit>        takes a change back; it holds, also when the same manifests are applied again
    git revert <that revert>   and forth again

The reverting of a version takes the tag out of service for good. A lasting change of configuration belongs where the resources are written.
`;

export function firstFiles(installation: string): PlannedCommit {
  return {
    subject: "record: begins",
    body: "From here on the registry serves what this branch says.",
    trailers: [[trailers.installation, installation]],
    files: [
      { path: ".sourceignore", content: sourceIgnore },
      { path: "README.md", content: readme },
    ],
  };
}
