// Secrets and ConfigMaps of one namespace, of which only those are fetched that a resource names, and only those keys are kept that it uses; of the
// other keys nothing but their names, for messages. Of all others nothing but their names and versions reaches the process: a namespace may hold the releases of Helm, a megabyte each, and secrets that are none of our business.

import type { SecretData } from "../../domain/secrets.ts";
import type { Logger } from "../../observability/logger.ts";
import type { SecretContent } from "../credentials/credentials-bundle.ts";
import { KubeError } from "./errors.ts";
import { Informer, type InformerTimes } from "./informer.ts";
import type { KubeClient } from "./kube-client.ts";
import { metadataOnly, paths, type KubeObject } from "./objects.ts";

/** Milliseconds; a little less than after what cluster-source.ts looks again. */
const askAgainAfter = 4_500;
/** Fetches of one namespace: an answer may have a megabyte. */
const atOnce = 8;

export type SecretKind = "Secret" | "ConfigMap";

/** What is wanted, by name, and what is used of it. */
export type WantedKeys = ReadonlyMap<string, (key: string) => boolean>;

interface Held {
  /** uid and resourceVersion of what was fetched. */
  readonly version: string;
  readonly data: SecretData;
  /** Keys whose bytes nobody used when it was fetched. */
  readonly left: readonly string[];
}

/** Of a key that nobody uses. */
const noBytes = new Uint8Array(0);

interface DataObject extends KubeObject {
  /** Of a Secret in base64, of a ConfigMap as text. */
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

interface Wanted {
  readonly names: WantedKeys;
  readonly complete: boolean;
  readonly problem: KubeError | undefined;
}

interface Asked {
  readonly name: string;
  readonly version: string;
  readonly uses: (key: string) => boolean;
}

const nothing: Wanted = { names: new Map(), complete: false, problem: undefined };

export class NamedSecrets {
  readonly informers: Readonly<Record<SecretKind, Informer<KubeObject>>>;
  readonly #client: KubeClient;
  readonly #logger: Logger;
  readonly #held: Readonly<Record<SecretKind, Map<string, Held>>> = { Secret: new Map(), ConfigMap: new Map() };
  /** As `want` was asked last. */
  readonly #wanted: Record<SecretKind, Wanted> = { Secret: nothing, ConfigMap: nothing };
  readonly #refused = new Map<string, { readonly version: string; readonly until: number }>();

  constructor(options: {
    readonly client: KubeClient;
    readonly namespace: string;
    readonly logger: Logger;
    readonly times?: Partial<InformerTimes> | undefined;
  }) {
    const { client, namespace, logger, times } = options;
    this.#client = client;
    this.#logger = logger;
    const informer = (path: string) =>
      new Informer<KubeObject>({ client, path, accept: metadataOnly, keep, logger, ...(times === undefined ? {} : { times }) });
    this.informers = { Secret: informer(paths.secrets(namespace)), ConfigMap: informer(paths.configMaps(namespace)) };
  }

  /** When `want` would find something else than it found last. What becomes of those that nobody names is no news, and there may be a lot of it. */
  onNews(listener: () => void): void {
    for (const kind of ["Secret", "ConfigMap"] as const) this.informers[kind].onChange(() => this.#isNews(kind) && listener());
  }

  data(kind: SecretKind, name: string): SecretData | undefined {
    return this.#held[kind].get(name)?.data;
  }

  content(kind: SecretKind, name: string): SecretContent {
    const data = this.data(kind, name);
    if (data !== undefined) return { state: "there", data };
    const { complete, items } = this.informers[kind];
    return { state: complete && !items.has(name) ? "gone" : "unknown" };
  }

  /** Fetches what is named and new, drops what is gone or named no more. Resolves with whether anything changed, and whether all of it could be had. */
  async want(kind: SecretKind, names: WantedKeys): Promise<{ readonly changed: boolean; readonly whole: boolean }> {
    const { items, complete, problem } = this.informers[kind];
    this.#wanted[kind] = { names, complete, problem };
    const held = this.#held[kind];
    const gone = [...held.keys()].filter((name) => !names.has(name) || !items.has(name));
    for (const name of gone) held.delete(name);
    const stale = [...names].flatMap(([name, uses]) => {
      const [found, known] = [items.get(name), held.get(name)];
      if (found === undefined || (known?.version === versionOf(found) && !known.left.some(uses))) return [];
      return [{ name, version: versionOf(found), uses }];
    });
    const fetched: ("fetched" | "gone" | "failed")[] = [];
    const work = async (): Promise<void> => {
      for (let next = stale.pop(); next !== undefined; next = stale.pop()) fetched.push(await this.#obtainInTime(kind, next));
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    return { changed: gone.length > 0 || fetched.includes("fetched"), whole: !fetched.includes("failed") };
  }

  #isNews(kind: SecretKind): boolean {
    const { items, complete, problem } = this.informers[kind];
    const before = this.#wanted[kind];
    if (complete !== before.complete || problem !== before.problem) return true;
    return before.names.keys().some((name) => {
      const found = items.get(name);
      return (found === undefined ? undefined : versionOf(found)) !== this.#held[kind].get(name)?.version;
    });
  }

  /** What was refused is asked for again after a pause, or when it is another by then: whoever looks may look often. */
  async #obtainInTime(kind: SecretKind, asked: Asked): Promise<"fetched" | "gone" | "failed"> {
    const { name, version } = asked;
    const id = `${kind} ${name}`;
    const before = this.#refused.get(id);
    if (before?.version === version && performance.now() < before.until) return "failed";
    const got = await this.#obtain(kind, asked, before === undefined ? "warn" : "debug");
    if (got === "failed") this.#refused.set(id, { version, until: performance.now() + askAgainAfter });
    else this.#refused.delete(id);
    return got;
  }

  async #obtain(kind: SecretKind, { name, uses }: Asked, level: "warn" | "debug"): Promise<"fetched" | "gone" | "failed"> {
    const { path } = this.informers[kind];
    try {
      const found = await this.#client.send<DataObject>({ path: `${path}/${name}` });
      this.#held[kind].set(name, { version: versionOf(found), ...dataOf(kind, found, uses) });
      return "fetched";
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return "gone";
      this.#logger[level]({ error: String(error) }, `${kind} ${path.split("/").at(-2) ?? ""}/${name} could not be read; it is tried again`);
      return "failed";
    }
  }
}

/** Its metadata without what takes room beside the names of fifty thousand. */
function keep({ metadata: { name, namespace = "", uid = "", resourceVersion = "", annotations } }: KubeObject): KubeObject {
  const identity = { name, namespace, uid, resourceVersion };
  return { metadata: annotations === undefined ? identity : { ...identity, annotations } };
}

function versionOf({ metadata }: KubeObject): string {
  return `${metadata.uid ?? ""} ${metadata.resourceVersion ?? ""}`;
}

function dataOf(kind: SecretKind, { data = {}, binaryData = {} }: DataObject, uses: Asked["uses"]): Pick<Held, "data" | "left"> {
  const encoding = kind === "Secret" ? "base64" : "utf8";
  const all = [
    ...Object.entries(data).map(([key, value]) => [key, value, encoding] as const),
    ...Object.entries(binaryData).map(([key, value]) => [key, value, "base64"] as const),
  ];
  return {
    data: new Map(all.map(([key, value, from]) => [key, uses(key) ? Buffer.from(value, from) : noBytes])),
    left: all.flatMap(([key]) => (uses(key) ? [] : [key])),
  };
}
