import { randomBytes } from "node:crypto";

import { expect, test } from "vitest";

import { digestOf, type DigestAlgorithm } from "../../../domain/digest.ts";
import { ExportableHash, ProcessHash } from "./upload-hash.ts";

const algorithms: readonly DigestAlgorithm[] = ["sha256", "sha512"];
const bytes = randomBytes(300_001);

test.each(algorithms)("both hashes of %s say what was hashed so far, and go on", async (algorithm) => {
  for (const hash of [new ProcessHash(algorithm), await ExportableHash.start(algorithm)]) {
    expect(hash.digest()).toBe(digestOf("", algorithm));
    hash.update(bytes.subarray(0, 70_000));
    expect(hash.digest()).toBe(digestOf(bytes.subarray(0, 70_000), algorithm));
    hash.update(bytes.subarray(70_000));
    expect(hash.digest()).toBe(digestOf(bytes, algorithm));
  }
});

test.each(algorithms)("a state of %s goes on elsewhere, also when it ends inside a block", async (algorithm) => {
  for (const end of [0, 1, 63, 64, 127, 128, 129, 200_003]) {
    const prefix = digestOf(bytes.subarray(0, end), algorithm);
    const first = await ExportableHash.start(algorithm);
    first.update(bytes.subarray(0, end));
    const second = await ExportableHash.restore(algorithm, Buffer.from(first.save()), prefix);
    second?.update(bytes.subarray(end));
    expect(second?.digest()).toBe(digestOf(bytes, algorithm));
  }
});

test("what is not a state of these bytes by this algorithm and this build is not taken", async () => {
  const hash = await ExportableHash.start("sha256");
  hash.update(bytes);
  const state = Buffer.from(hash.save());
  const prefix = digestOf(bytes);
  const other = await ExportableHash.start("sha512");
  other.update(bytes);
  const flipped = (at: number) => Buffer.from(state.map((byte, index) => (index === at ? byte ^ 1 : byte)));
  const anotherBuild = flipped(0);
  for (const wrong of [Buffer.alloc(0), state.subarray(1), anotherBuild, Buffer.concat([state, state]), Buffer.from(other.save())]) {
    expect(await ExportableHash.restore("sha256", wrong, prefix)).toBeUndefined();
  }
  // Every damage is noticed that would change what comes out.
  for (let at = 0; at < state.byteLength; at++) {
    const restored = await ExportableHash.restore("sha256", flipped(at), prefix);
    restored?.update(Buffer.from("and on"));
    expect(restored?.digest() ?? "refused").toSatisfy(
      (digest) => digest === "refused" || digest === digestOf(Buffer.concat([bytes, Buffer.from("and on")])),
    );
  }
  expect(await ExportableHash.restore("sha256", state, digestOf("other bytes"))).toBeUndefined();
  expect((await ExportableHash.restore("sha256", state, prefix))?.digest()).toBe(prefix);
});
