import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openOwnRegistry, pushBlob, pusher, reader, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
});
afterAll(() => registry.close());

let number = 0;
const newName = () => `team/app-${++number}`;
const blobOf = (repository: string, digest: Digest) => registry.pull.blob(repository, digest, reader, { head: true });

describe("mounting", () => {
  const mount = (repository: string, digest: Digest, from?: string, readable: (name: string) => boolean = () => true) =>
    registry.push.mount(repository, pusher, { digest, from, readable });

  test("from a repository that has it, which the caller may read", async () => {
    const [source, target] = [newName(), newName()];
    const digest = await pushBlob(registry.push, source);
    expect(await mount(target, digest, source, () => false)).toBeUndefined();
    expect(await mount(target, digest, newName())).toBeUndefined();
    await expect(blobOf(target, digest)).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
    expect(await mount(target, digest, source)).toBe(digest);
    expect((await blobOf(target, digest)).size).toBe(64);
  });

  test("without `from`: from any that the caller may read", async () => {
    const [secret, open, target] = [newName(), newName(), newName()];
    const bytes = randomBytes(20);
    const digest = await pushBlob(registry.push, secret, bytes);
    expect(await mount(target, digest, undefined, (name) => name === open)).toBeUndefined();
    await pushBlob(registry.push, open, bytes);
    expect(await mount(target, digest, undefined, (name) => name === open)).toBe(digest);
    expect(await mount(target, digestOf("nowhere"))).toBeUndefined();
  });

  test("a blob that the repository has is mounted from anywhere", async () => {
    const target = newName();
    const digest = await pushBlob(registry.push, target);
    expect(await mount(target, digest, "no/such", () => false)).toBe(digest);
  });
});
