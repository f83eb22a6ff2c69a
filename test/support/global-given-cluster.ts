// The cluster that somebody gave for the run (./node/given-cluster.ts), in the place of a node of its own.

import type { TestProject } from "vitest/node";

import { openGiven, type GivenPlace } from "./node/given-cluster.ts";
import { forOwnNode, variable } from "./node/given-files.ts";
import { ensureInstallationTools } from "./tools.ts";

declare module "vitest" {
  interface ProvidedContext {
    given: GivenPlace | undefined;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { place, url, close } = await openGiven();
  try {
    await ensureInstallationTools();
  } catch (error) {
    await close();
    throw error;
  }
  project.provide("given", place);
  const others = Object.entries(forOwnNode).map(([file, why]) => `  test/node/${file}.test.ts: ${why}`);
  process.stderr.write(`Installing into the cluster at ${url}. On a node of our own alone (without ${variable}) run:\n`);
  process.stderr.write(`${others.join("\n")}\n`);
  return close;
}
