import { expect, test } from "vitest";

import type { MountedOwner } from "../../domain/mounted-secrets.ts";
import { mostBytes } from "./bundle-room.ts";
import type { SecretContent } from "./credentials-bundle.ts";
import { bundleOf, mostOfKey } from "./credentials-bundle.ts";
import type { WantedSecret } from "./secret-references.ts";
import { secretsNamedBy } from "./secret-references.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const gone: SecretContent = { state: "gone" };
const there = (data: Record<string, Uint8Array>): SecretContent => ({ state: "there", data: new Map(Object.entries(data)) });
const all = () => true;
const wanted = (...names: string[]): WantedSecret[] => names.map((name) => ({ kind: "Secret", namespace: "a", name, uses: all }));

function bundle(
  secrets: readonly WantedSecret[],
  contents: Record<string, SecretContent>,
  options: Partial<Parameters<typeof bundleOf>[1]> = {},
) {
  const contentOf = ({ namespace, name }: MountedOwner) => contents[`${namespace}/${name}`] ?? gone;
  const precedence = { users: [], administrators: "a", tenants: [] };
  const { files, left } = bundleOf(secrets, { contentOf, before: new Map(), keepOthers: false, precedence, ...options });
  return { files, names: [...files.keys()], left: Object.fromEntries([...left].map(([owner, { reason }]) => [owner, reason])) };
}

test("of a Secret or ConfigMap only the keys that are used, each under the name of its owner", () => {
  const secrets = [
    ...secretsNamedBy({
      kind: "Upstream",
      namespace: "team-a",
      spec: { auth: { secretRef: { name: "x" } }, certSecretRef: { name: "x" } },
    }),
    ...secretsNamedBy({
      kind: "TagPolicy",
      namespace: "team-b",
      spec: { verify: { keys: [{ secretRef: { name: "x" } }], trustedRoot: { configMapRef: { name: "x" } } } },
    }),
    ...secretsNamedBy({ kind: "AccessPolicy", namespace: "team-b", spec: {} }),
  ];
  const everything = there(
    Object.fromEntries(
      [
        "username",
        "password",
        ".dockerconfigjson",
        "ca.crt",
        "tls.crt",
        "tls.key",
        "cosign.pub",
        "cosign.key",
        "htpasswd",
        "trusted_root.json",
      ].map((key) => [key, bytes(key)]),
    ),
  );
  expect(bundle(secrets, { "team-a/x": everything, "team-b/x": everything }).names).toEqual([
    "ConfigMap_team-b_x_trusted_root.json",
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

test("of a ConfigMap that could not be read the one before stays, and a Secret of the same name is another", () => {
  const root = { kind: "ConfigMap", namespace: "a", name: "x", uses: all } as const;
  const before = new Map([
    ["ConfigMap_a_x_trusted_root.json", bytes("{}")],
    ["a_x_password", bytes("p")],
  ]);
  const contentOf = ({ kind }: MountedOwner): SecretContent => (kind === "ConfigMap" ? { state: "unknown" } : gone);
  expect(bundle([root, ...wanted("x")], {}, { before, contentOf }).names).toEqual(["ConfigMap_a_x_trusted_root.json"]);
  expect(bundle([], {}, { before, contentOf, keepOthers: true }).names).toEqual(["ConfigMap_a_x_trusted_root.json"]);
  const large = { "a/x": there({ "trusted_root.json": block(mostOfKey + 1) }) };
  expect(bundle([root], large).left).toEqual({ "ConfigMap a/x": "CredentialsTooLarge" });
});

test("a tenant that fills the Secret takes nothing of the users, of the administrators or of another tenant's part, and is told the bound", () => {
  const keys = Object.fromEntries(Array.from({ length: 23 }, (_, index) => [`hog/k${index}`, there({ "x.pub": block(39_000) })]));
  const contents: Record<string, SecretContent> = {
    ...keys,
    "a/pull": there({ password: bytes("short") }),
    "a/users": there({ htpasswd: block(1_000) }),
    "poor/pull": there({ password: bytes("one") }),
  };
  const secrets = [
    ...Object.keys(keys).map((id) => ({ kind: "Secret" as const, namespace: "hog", name: id.slice(4), uses: all })),
    ...wanted("pull", "users"),
    { kind: "Secret" as const, namespace: "poor", name: "pull", uses: all },
  ];
  const precedence = { users: [{ namespace: "a", name: "users" }], administrators: "a", tenants: ["hog", "poor"] };
  const options = { before: new Map<string, Uint8Array>(), precedence };
  const first = bundle(secrets, contents, options);
  expect(Object.keys(first.left).length).toBeGreaterThan(0);
  // All of them grow by more than there is room for.
  contents["a/pull"] = there({ password: block(mostOfKey) });
  contents["a/users"] = there({ htpasswd: block(200_000) });
  contents["poor/pull"] = there({ password: block(mostOfKey), username: block(mostOfKey) });
  const contentOf = ({ namespace, name }: MountedOwner) => contents[`${namespace}/${name}`] ?? gone;
  const { files, left } = bundleOf(secrets, { contentOf, before: first.files, keepOthers: true, precedence });
  expect([...files.keys()]).toEqual(
    expect.arrayContaining(["a_pull_password", "a_users_htpasswd", "poor_pull_password", "poor_pull_username"]),
  );
  expect([...left.keys()].every((owner) => owner.startsWith("Secret hog/"))).toBe(true);
  expect([...left.values()][0]).toEqual({
    reason: "CredentialsTooLarge",
    message:
      "there is no room for the 39024 bytes of Secret hog/k2: namespace hog is sure of 160 KiB in all, beyond that those who come first have what is free of 900 KiB. Make it smaller, or take other references out",
  });
});
