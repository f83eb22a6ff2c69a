import { expect, test } from "vitest";

import type { SecretContent } from "./credentials-bundle.ts";
import { bundleOf, mostBytes, mostOfKey } from "./credentials-bundle.ts";
import type { WantedSecret } from "./secret-references.ts";
import { secretsNamedBy } from "./secret-references.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const gone: SecretContent = { state: "gone" };
const there = (data: Record<string, Uint8Array>): SecretContent => ({ state: "there", data: new Map(Object.entries(data)) });
const all = () => true;
const wanted = (...names: string[]): WantedSecret[] => names.map((name) => ({ namespace: "a", name, uses: all }));

function bundle(
  secrets: readonly WantedSecret[],
  contents: Record<string, SecretContent>,
  options: Partial<Parameters<typeof bundleOf>[1]> = {},
) {
  const contentOf = (namespace: string, name: string) => contents[`${namespace}/${name}`] ?? gone;
  const { files, left } = bundleOf(secrets, { contentOf, before: new Map(), keepOthers: false, isFirst: () => false, ...options });
  return { files, names: [...files.keys()], left: Object.fromEntries([...left].map(([owner, { reason }]) => [owner, reason])) };
}

test("of a Secret only the keys that are used, each under the name of its owner", () => {
  const secrets = [
    ...secretsNamedBy({
      kind: "Upstream",
      namespace: "team-a",
      spec: { auth: { secretRef: { name: "x" } }, certSecretRef: { name: "x" } },
    }),
    ...secretsNamedBy({ kind: "TagPolicy", namespace: "team-b", spec: { verify: { keys: [{ secretRef: { name: "x" } }] } } }),
    ...secretsNamedBy({ kind: "AccessPolicy", namespace: "team-b", spec: {} }),
  ];
  const everything = there(
    Object.fromEntries(
      ["username", "password", ".dockerconfigjson", "ca.crt", "tls.crt", "tls.key", "cosign.pub", "cosign.key", "htpasswd"].map((key) => [
        key,
        bytes(key),
      ]),
    ),
  );
  expect(bundle(secrets, { "team-a/x": everything, "team-b/x": everything }).names).toEqual([
    "team-a_x_.dockerconfigjson",
    "team-a_x_ca.crt",
    "team-a_x_password",
    "team-a_x_tls.crt",
    "team-a_x_tls.key",
    "team-a_x_username",
    "team-b_x_cosign.pub",
  ]);
});

test("what is gone is out; what could not be read stays as it was, and nobody else's with it", () => {
  const before = new Map([
    ["a_gone_password", bytes("1")],
    ["a_hidden_password", bytes("2")],
    ["a_unwanted_password", bytes("3")],
  ]);
  const contents = { "a/hidden": { state: "unknown" }, "a/unwanted": there({ password: bytes("3") }) } as const;
  expect(bundle(wanted("gone", "hidden", "new"), contents, { before }).names).toEqual(["a_hidden_password"]);
  // Somebody may still be served by what nobody wants: it stays, unless it was taken away.
  expect(bundle(wanted("hidden"), contents, { before, keepOthers: true }).names).toEqual(["a_hidden_password", "a_unwanted_password"]);
});

const block = (size: number, fill = 1) => new Uint8Array(size).fill(fill);
/** Fourteen of them fill the Secret. */
const large = 64 * 1024 - 100;

test("what comes later, or grew, never takes the room of what is there", () => {
  const names = Array.from({ length: 13 }, (_, index) => `m${String(index).padStart(2, "0")}`);
  const contents: Record<string, SecretContent> = Object.fromEntries(names.map((name) => [`a/${name}`, there({ password: block(large) })]));
  const first = bundle(wanted(...names), contents);
  expect(first).toMatchObject({ left: {}, names: names.map((name) => `a_${name}_password`) });
  // One that would come first by its name, and one that would be too much: who has room is decided by who was there.
  contents["a/a-new"] = there({ password: block(large) });
  contents["a/b-new"] = there({ password: block(large) });
  const second = bundle(wanted(...names, "b-new", "a-new"), contents, { before: first.files });
  expect(second.names).toEqual(["a_a-new_password", ...first.names]);
  expect(second.left).toEqual({ "Secret a/b-new": "CredentialsTooLarge" });
  // One that was there grows: it is itself that has no room, though its name comes before others.
  contents["a/m00"] = there({ password: block(large), second: block(large) });
  const third = bundle(wanted(...names, "b-new", "a-new"), contents, { before: second.files });
  expect(third.left).toEqual({ "Secret a/m00": "CredentialsTooLarge" });
  expect(third.names).toContain("a_a-new_password");
  // Where one of them went, who grew comes before who is new, and a small one fits where a large one does not.
  contents["a/z-small"] = there({ password: bytes("1") });
  expect(bundle(wanted(...names, "b-new", "z-small"), contents, { before: second.files }).left).toEqual({
    "Secret a/b-new": "CredentialsTooLarge",
  });
  const size = [...third.files].reduce((sum, [file, { byteLength }]) => sum + 2 * file.length + byteLength, 0);
  expect(size).toBeLessThanOrEqual(mostBytes);
});

test("no namespace takes the room of another one, and nobody that of the administrators and the users", () => {
  const of = (namespace: string, name: string): WantedSecret => ({ namespace, name, uses: all });
  const isFirst = ({ namespace }: { namespace: string }) => namespace === "registry";
  const contents: Record<string, SecretContent> = {
    "registry/pull": there({ password: bytes("short") }),
    "registry/users": there({ htpasswd: bytes("ann") }),
    "team-b/key": there({ "cosign.pub": bytes("key") }),
  };
  const others = [of("registry", "pull"), of("registry", "users"), of("team-b", "key")];
  const greedy = Array.from({ length: 60 }, (_, index) => of("team-a", `k${index}`));
  for (const { name } of greedy) contents[`team-a/${name}`] = there({ "cosign.pub": block(15_000) });
  // To the last byte, with what was small enough for what was left.
  const filler = (size: number) => (contents["team-a/filler"] = there({ "x.pub": block(size) }));
  filler(1);
  const room = (files: ReadonlyMap<string, Uint8Array>) =>
    mostBytes - [...files].reduce((sum, [file, { byteLength }]) => sum + 2 * file.length + byteLength, 0);
  const wantedOfAll = [...others, ...greedy, of("team-a", "filler")];
  let before = bundle(wantedOfAll, contents, { isFirst }).files;
  filler(1 + room(before));
  before = bundle(wantedOfAll, contents, { isFirst, before }).files;
  expect(room(before)).toBe(0);

  contents["registry/pull"] = there({ password: bytes("longer than it was") });
  contents["registry/users"] = there({ htpasswd: bytes("ann and bob") });
  contents["team-b/key"] = there({ "cosign.pub": bytes("another key") });
  contents["team-c/new"] = there({ "cosign.pub": block(64 * 1024) });
  const { files, left } = bundle([...wantedOfAll, of("team-c", "new")], contents, { isFirst, before });
  const texts = [...files]
    .filter(([, { byteLength }]) => byteLength < 100)
    .map(([file, content]) => [file, new TextDecoder().decode(content)]);
  expect(texts).toEqual([
    ["registry_pull_password", "longer than it was"],
    ["registry_users_htpasswd", "ann and bob"],
    ["team-b_key_cosign.pub", "another key"],
  ]);
  expect(files.has("team-c_new_cosign.pub")).toBe(true);
  expect(Object.keys(left).filter((owner) => !owner.startsWith("Secret team-a/"))).toEqual([]);
  expect(room(files)).toBeLessThan(15_000 + 100);
  expect(room(files)).toBeGreaterThanOrEqual(0);
});

test("a key that is too large, or too long by name, is left out with its Secret; of users there may be many", () => {
  const long = "n".repeat(248);
  const contents = {
    "a/bundle": there({ "ca.crt": block(mostOfKey + 1) }),
    "a/exact": there({ "ca.crt": block(mostOfKey) }),
    [`a/${long}`]: there({ username: bytes("u"), password: bytes("p"), "x.pub": bytes("k") }),
    "a/users": there({ htpasswd: block(mostOfKey * 2) }),
  };
  const { names, left } = bundle(wanted("bundle", "exact", long, "users"), contents);
  expect(names).toEqual(["a_exact_ca.crt", "a_users_htpasswd"]);
  expect(left).toEqual({ "Secret a/bundle": "CredentialsTooLarge", [`Secret a/${long}`]: "SecretInvalid" });
});
