// An upgrade of the definitions: those of the version before (test/previous/commit) with its documents, then these. Every object stays what it was,
// and can be written.

import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { kinds } from "../../src/domain/resource.ts";
import { applyDefinitions } from "../support/definitions.ts";
import { documentCases, type DocumentCase } from "../support/documents.ts";
import { createNamespace, startApiServer, type ApiServer } from "../support/kubernetes.ts";
import { previousVersion, type PreviousVersion } from "../support/previous.ts";
import { accepted, create, resourcePath, update, type StoredResource } from "../support/resource-api.ts";

/** An object of the version before. */
interface Old {
  readonly entry: DocumentCase;
  readonly namespace: string;
  readonly stored: StoredResource;
}

let api: ApiServer;
let previous: PreviousVersion;
let objects: readonly Old[];

beforeAll(async () => {
  [api, previous] = await Promise.all([startApiServer(), previousVersion()]);
  await applyDefinitions(api, join(previous.folder, "crds"));
  const cases = kinds.flatMap((kind) => documentCases(kind, "valid", join(previous.folder, "test/documents")));
  objects = await Promise.all(
    cases.map(async (entry) => {
      const namespace = await createNamespace(api);
      return { entry, namespace, stored: accepted(await create(api, entry.before ?? entry.document, { namespace }), entry.rule) };
    }),
  );
  await applyDefinitions(api);
  // What it has read of the older definitions goes with it: every answer is by the newer ones.
  await api.restart();
});
afterAll(async () => {
  await api?.stop();
  await previous?.remove();
});

test("what was stored keeps every field", async () => {
  expect(objects.length).toBeGreaterThan(50);
  for (const { entry, namespace, stored } of objects) {
    const path = resourcePath(entry.kind, namespace, stored.metadata.name);
    const { spec } = accepted(await api.send<StoredResource>("GET", path), path);
    expect({ path, spec }).toMatchObject({ path, spec: stored.spec });
  }
});

test("what was written is accepted again in another place", async () => {
  const namespace = await createNamespace(api);
  for (const { entry } of objects) {
    const again = await create(api, entry.before ?? entry.document, { namespace, dryRun: true });
    expect(accepted(again, entry.rule).status).toEqual({ observedGeneration: -1 });
  }
});

test("what was stored can be changed, and its status too", async () => {
  for (const { entry, namespace, stored } of objects) {
    const { document, rule, kind } = entry;
    const spec = { ...(document.spec as object), suspend: true };
    const { metadata } = accepted(await update(api, { ...document, spec }, { namespace, over: stored }), rule);
    const patched = await api.send<StoredResource>("PATCH", `${resourcePath(kind, namespace, metadata.name)}/status`, {
      contentType: "application/merge-patch+json",
      body: { status: { observedGeneration: metadata.generation } },
    });
    expect(accepted(patched, rule).status).toMatchObject({ observedGeneration: metadata.generation });
  }
});
