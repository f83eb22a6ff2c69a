// What an import did, for people.

import type { ImportResult, Problem } from "../../import/report.ts";
import { formatBytes } from "../../domain/bytes.ts";

export function renderImport({
  source,
  target,
  dryRun,
  repositories,
  tags,
  manifests,
  blobs,
  seconds,
  problemsByKind,
}: ImportResult): string {
  const problems = Object.entries(problemsByKind).map(([kind, count]) => `${count} ${kind}`);
  return [
    `${dryRun ? "would import" : "imported"}      ${source} into ${target}, ${seconds.toFixed(1)} s`,
    `repositories  ${repositories.done} of ${repositories.selected}`,
    `tags          ${tags.created} new, ${tags.moved} moved, ${tags.unchanged} as they were, ${tags.left} left, ${tags.skipped} skipped`,
    `manifests     ${manifests.copied} copied, ${manifests.present} were here`,
    `blobs         ${blobs.copied} copied (${formatBytes(blobs.bytes)}), ${blobs.present} were here`,
    `problems      ${problems.length === 0 ? "none" : problems.join(", ")}`,
  ].join("\n");
}

export function renderProblem({ kind, repository, tag, digest, message }: Problem): string {
  const place = `${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
  return `${place}: ${kind}: ${message}`;
}
