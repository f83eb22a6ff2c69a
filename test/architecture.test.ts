// The import law: the table of rooms in CONTRIBUTING.md says which may know each other (docs/design/architecture.md says why).

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

import { expect, test } from "vitest";

const source = resolve(import.meta.dirname, "../src");

interface Law {
  /** Room → rooms (or single files) it may import besides itself; `*`: all. The longest matching room counts. */
  readonly rooms: Readonly<Record<string, readonly string[]>>;
  /** Everyone may import these, except those whose row says `nothing`. */
  readonly everywhere: readonly string[];
  readonly bare: ReadonlySet<string>;
}

/** Reads `| `src/room` | what it is | what it may import |`. */
function readLaw(markdown: string): Law {
  const table = /^\| room \|.*\n(?:\|.*\n)+/m.exec(markdown)?.[0] ?? "";
  const [head, , ...rows] = table
    .trimEnd()
    .split("\n")
    .map((line) => line.split("|").slice(1, -1));
  const names = (cell = "") => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
  const read = rows.map(([room, , permitted = ""]) => {
    const word = permitted.trim();
    const rooms = word === "all" ? ["*"] : names(word);
    if (rooms.length === 0 && word !== "" && word !== "nothing") throw new Error(`no room is named in ${word}`);
    return { room: names(room)[0]?.replace(/^src\//, "") ?? "", rooms, bare: word === "nothing" };
  });
  return {
    rooms: Object.fromEntries(read.map(({ room, rooms }) => [room, rooms])),
    everywhere: names(head?.[2]),
    bare: new Set(read.filter(({ bare }) => bare).map(({ room }) => room)),
  };
}

const { rooms: law, everywhere, bare } = readLaw(readFileSync(resolve(source, "../CONTRIBUTING.md"), "utf8"));

/** npm packages that only these rooms may load. Some come with the cluster. */
const packages: Record<string, readonly string[]> = {
  "@kubernetes/client-node": ["operator/kube", "reporter"],
  "@aws-sdk/client-s3": ["registry/blobs"],
  "pg-copy-streams": ["registry/metadata"],
  pg: ["registry/metadata"],
  fastify: ["registry/http"],
  commander: ["cli"],
  ws: ["operator/kube"],
  undici: ["client", "operator/kube", "registry/upstream", "registry/issuers"],
  jose: ["registry/issuers", "registry/tokens"],
  croner: ["validation", "operator"],
};

/**
 * Modules that open connections or look up names, and the only files that may load them (types aside). Whatever leaves the process goes through
 * the egress policy (registry/upstream), to the registry itself (client), to where the installation's own settings say (registry/issuers), or
 * to the API server of the cluster (operator/kube): a file that is added here has to show that it does.
 */
const network: Readonly<Record<string, readonly string[]>> = {
  http: ["listeners/probes.ts", "operator/record-server.ts", "registry/http/listening/server.ts"],
  // Listens.
  https: ["registry/http/listening/tls-server.ts"],
  http2: [],
  // The first listens on 127.0.0.1, for what a person's git sends into a Pod; the second on the registry's address, for a moment.
  net: ["cli/cluster/way-to-record.ts", "registry/http/listening/free-address.ts"],
  dgram: [],
  // The second looks at certificates; the third speaks through a connection of operator/kube/port-forward.ts.
  tls: ["registry/upstream/connector.ts", "registry/http/listening/certificate.ts", "cli/cluster/tunnel.ts"],
  dns: [],
  "dns/promises": ["registry/upstream/egress.ts", "standalone/exposure.ts"],
  undici: [
    "client/transport.ts",
    "client/authority.ts",
    "operator/kube/kube-client.ts",
    "registry/upstream/connector.ts",
    "registry/upstream/exchange.ts",
    "registry/issuers/key-set.ts",
  ],
  ws: ["operator/kube/port-forward.ts"],
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

test("every room is there, and nothing is permitted that nobody does", () => {
  const real = imports.filter(({ from }) => !from.endsWith(".test.ts"));
  const idle = Object.entries(law).flatMap(([room, permitted]) => {
    const own = real.filter(({ from }) => roomOf(from) === room);
    const unused = permitted.filter((other) => other !== "*" && !own.some(({ to }) => inside(to, other)));
    return [
      ...(files(source).some((file) => roomOf(relative(source, file)) === room) ? [] : [`${room} is not there`]),
      ...unused.map((other) => `${room} does not import ${other}`),
    ];
  });
  for (const [name, places] of [...Object.entries(packages), ...Object.entries(network)]) {
    const loading = real.filter(({ to }) => to.replace(/^node:/, "") === name).map(({ from }) => from);
    if (loading.length === 0) continue;
    for (const place of places) if (!loading.some((file) => inside(file, place))) idle.push(`${place} does not load ${name}`);
  }
  expect(idle).toEqual([]);
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
