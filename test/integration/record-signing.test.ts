// A record whose commits are signed: with real keys, judged by git.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { namedSecret } from "../../src/record/named-secret.ts";
import { World } from "../support/control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { TestSecrets } from "../support/registry.ts";
import { createSshKey } from "../support/ssh-keys.ts";

let world: World;
let secrets: TestSecrets;
beforeEach(async () => {
  world = await World.create();
  secrets = new TestSecrets();
  world.signingKey = namedSecret({ namespace: "default", name: "signing" }, secrets);
});
afterEach(() => world.close());

const cgr = "Upstream/default/cgr";

test("while the key is missing changes wait, and what was published is served; with it they are committed, signed and served", async () => {
  const key = await createSshKey();
  secrets.set("default", "signing", { identity: key.privateKey });
  world.upstream("cgr");
  await world.start();
  secrets.set("default", "signing", undefined);
  world.upstream("cgr", "  cache: {tagTTL: 1m}\n");
  const message = "commits cannot be signed with Secret default/signing (record.signing.secretRef): there is no such Secret: create it";
  await eventually(() => expect(world.condition(cgr, "Recorded")).toMatchObject({ status: "False", reason: "SigningFailed", message }));
  expect(world.subjects()[0]).toBe("upstream default/cgr: generation 1");
  expect(await world.served(cgr)).toMatchObject({ cache: { tagTTL: "5m" } });

  secrets.set("default", "signing", { identity: key.privateKey });
  await eventually(async () => expect(await world.served(cgr)).toMatchObject({ cache: { tagTTL: "1m" } }), 30);
  const allowed = join(world.folder, "allowed-signers");
  writeFileSync(allowed, `wharfinger@localhost ${key.publicKey}\n`);
  const judged = world.git("-c", `gpg.ssh.allowedSignersFile=${allowed}`, "log", "--format=%G? %s");
  expect(judged.split("\n")).toEqual(["G upstream default/cgr: generation 2", "G upstream default/cgr: generation 1", "G record: begins"]);
});
