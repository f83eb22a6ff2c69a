// The import law of docs/architecture.md: rooms, and the one way in which they may know each other.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

import { expect, test } from "vitest";

const source = resolve(import.meta.dirname, "../src");

/** Room → rooms it may import besides itself. Everyone may import what is in `everywhere`. The longest matching room counts. */
const everywhere = ["domain", "api", "observability"];
const law: Record<string, readonly string[]> = {
  domain: [],
  api: [],
  observability: [],
  config: ["validation"],
  validation: [],
  record: ["validation"],
  client: [],
  "registry/http": ["registry/services", "registry/blobs/blob-store.ts", "validation"],
  "registry/services": ["registry/metadata", "registry/blobs", "registry/upstream", "validation"],
  "registry/metadata": [],
  "registry/blobs": [],
  "registry/upstream": [],
  "registry/closing.ts": [],
  "registry/options.ts": ["config"],
  "registry/main.ts": ["registry", "config", "validation"],
  "registry/services-wiring.ts": ["registry", "config", "validation"],
  "jobs/attestation": [],
  jobs: ["client", "validation"],
  "jobs/main.ts": ["jobs", "client", "config", "validation"],
  operator: ["record", "client", "validation"],
  "operator/main.ts": ["operator", "record", "client", "config", "validation"],
  reporter: ["client", "operator/kube"],
  standalone: ["*"],
  cli: ["*"],
};
/** Rooms that must not know even what everyone may know. */
const bare = new Set(["domain", "api"]);

/** npm packages that only one room may load. */
const packages: Record<string, readonly string[]> = {
  "@kubernetes/client-node": ["operator/kube", "reporter"],
  "@aws-sdk/client-s3": ["registry/blobs"],
  pg: ["registry/metadata", "standalone/postgres"],
  fastify: ["registry/http", "registry/main.ts", "standalone"],
  commander: ["cli"],
  undici: ["client", "registry/upstream"],
  croner: ["validation", "standalone", "operator"],
};

/**
 * Modules that open connections or look up names, and the only files that may load them (types aside). Whatever leaves the process goes through
 * the egress policy (registry/upstream) or to the registry itself (client): a file that is added here has to show that it does.
 */
const network: Readonly<Record<string, readonly string[]>> = {
  http: [],
  https: [],
  http2: [],
  net: [],
  dgram: [],
  tls: ["registry/upstream/connector.ts"],
  dns: [],
  "dns/promises": ["registry/upstream/egress.ts", "standalone/exposure.ts"],
  undici: ["client/transport.ts", "registry/upstream/connector.ts", "registry/upstream/exchange.ts"],
};

interface Import {
  readonly from: string;
  readonly to: string;
  /** Gone at run time. */
  readonly typeOnly: boolean;
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, "utf8").replaceAll(/^\s*(\/\/|\*).*$/gm, "");
  const found = text.matchAll(
    /(?:^(?:import|export)\s+(type\s)?[^;"']*?\sfrom|\bimport\s*\(|^import|\brequire\s*\(|getBuiltinModule\s*\()\s*["']([^"']+)["']/gm,
  );
  return [...found].map(([, type, specifier = ""]) => ({
    from: relative(source, file),
    to: specifier.startsWith(".") ? relative(source, resolve(dirname(file), specifier)) : specifier,
    typeOnly: type !== undefined,
  }));
}

/** A test is in the room of what it tests. */
function roomOf(file: string): string {
  const path = file.replace(/\.test\.ts$/, ".ts");
  const rooms = Object.keys(law).filter((room) => path === room || path.startsWith(`${room}/`));
  return rooms.sort((a, b) => b.length - a.length)[0] ?? "";
}

const inside = (path: string, room: string) => path === room || path.startsWith(`${room}/`);

const imports = files(source).flatMap(importsOf);

test("every file has a room", () => {
  expect([...new Set(files(source).map((file) => relative(source, file)))].filter((file) => roomOf(file) === "")).toEqual([]);
});

test("rooms import one way", () => {
  const broken = imports
    .filter(({ to }) => to.endsWith(".ts") || to.endsWith(".json"))
    .filter(({ from, to }) => {
      const room = roomOf(from);
      if (from.endsWith(".test.ts")) return false;
      if (inside(to, room)) return false;
      const allowed = law[room] ?? [];
      if (allowed.includes("*") || allowed.some((other) => inside(to, other))) return false;
      return bare.has(room) || !everywhere.some((other) => inside(to, other));
    });
  expect(broken.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("packages stay in their rooms", () => {
  const broken = imports.filter(({ from, to }) => {
    const rooms = packages[to];
    return rooms !== undefined && !from.endsWith(".test.ts") && !rooms.some((room) => inside(from, room));
  });
  expect(broken.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("only named files open connections", () => {
  const broken = imports.filter(({ from, to, typeOnly }) => {
    const allowed = network[to.replace(/^node:/, "")];
    return allowed !== undefined && !typeOnly && !from.endsWith(".test.ts") && !allowed.includes(from);
  });
  expect(broken.map(({ from, to }) => `${from} loads ${to}`)).toEqual([]);
});

type Edge = Pick<Import, "from" | "to">;

/** What is left when, over and over, files are taken away that import none of the others, or that none of the others imports. */
function circular(edges: readonly Edge[]): readonly Edge[] {
  for (let left = edges; ;) {
    const [importing, imported] = [new Set(left.map(({ from }) => from)), new Set(left.map(({ to }) => to))];
    const kept = left.filter(({ from, to }) => importing.has(to) && imported.has(from));
    if (kept.length === left.length) return kept;
    left = kept;
  }
}

test("files do not import each other in circles, not even types", () => {
  const edge = (text: string): Edge => ({ from: text.charAt(0), to: text.charAt(1) });
  expect(circular(["ab", "bc", "ca", "cd", "xa"].map(edge))).toEqual(["ab", "bc", "ca"].map(edge));
  expect(circular(imports.filter(({ from }) => !from.endsWith(".test.ts"))).map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("git runs in the record alone, and nobody uses the global fetch", () => {
  const offenders = files(source)
    .filter((file) => !file.endsWith(".test.ts"))
    .flatMap((file) => {
      const path = relative(source, file);
      const text = readFileSync(file, "utf8");
      const found: string[] = [];
      if (/execFile\w*\(\s*["']git["']|spawn\(\s*["']git["']/.test(text) && !inside(path, "record")) found.push(`${path} runs git`);
      if (/(?<![.\w])fetch\(/.test(text)) found.push(`${path} uses the global fetch`);
      return found;
    });
  expect(offenders).toEqual([]);
});
