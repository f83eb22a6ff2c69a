// Keys that somebody brings in a Secret: the Secret may come late, be wrong, and change.

import { generateKeyPairSync } from "node:crypto";

import { pino } from "pino";
import { expect, test } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import { SecretKeys } from "./secret-keys.ts";

const pem = () => generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString();

test("the Secret is missing, wrong, right, and changes", async () => {
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => lines.push((JSON.parse(line) as { msg: string }).msg) });
  let data: ReadonlyMap<string, Uint8Array> | undefined;
  let tell = () => undefined as void;
  const secrets = {
    secret: (namespace: string, name: string) => (`${namespace}/${name}` === "default/signing" ? data : undefined),
    onChange: (listener: () => void) => {
      tell = listener;
      return () => undefined;
    },
  };
  const { keys, stop } = await SecretKeys.open({ secrets, ref: { namespace: "default", name: "signing" }, logger });
  const set = (texts: Readonly<Record<string, string>>) => {
    data = new Map(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]));
    tell();
    tell();
  };
  const until = ". Until that is mended no access tokens are given out, and clients are asked for Basic";
  const said = (what: string) => `auth.signingKeySecret, Secret default/signing: ${what}${until}`;
  const lacks = said(
    "it is not here: create it with a key signing.pem, where --secrets has it; an operator brings it from namespaces that it watches alone",
  );
  expect([keys.current(), lines]).toEqual([undefined, [lacks]]);

  set({ "signing.pem": "canary" });
  const why = "it is no private key in PEM without a passphrase; make one with openssl genpkey -algorithm ed25519";
  const unusable = said(`signing.pem cannot be used: ${why}`);
  await eventually(() => expect([keys.current(), lines]).toEqual([undefined, [lacks, unusable]]));

  const [one, two] = [pem(), pem()];
  set({ "signing.pem": one });
  await eventually(() => expect(keys.current()).toBeDefined());
  const first = keys.current()?.id ?? "";
  expect(keys.known(first)).toBe(keys.current());

  set({ "signing.pem": one, "next.pem": two, note: "x" });
  set({ "signing.pem": two, "before.pem": one });
  await eventually(() => expect(keys.current()?.id).not.toBe(first));
  expect(keys.known(first)?.id).toBe(first);

  set({ "signing.pem": two });
  await eventually(async () => expect([keys.known(first), await keys.find(first)]).toEqual([undefined, undefined]));

  set({ "other.pem": one });
  const unnamed = said("it has no key signing.pem: add it");
  await eventually(() => expect([keys.current(), lines]).toEqual([undefined, [lacks, unusable, unnamed]]));
  stop();
});
