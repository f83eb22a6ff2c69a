// Keys that not every reader takes for the same field. Go's encoding/json, which most clients are built on, ignores their case and takes the
// last of repeated ones; JSON.parse knows `layers` alone. A document with `layers` and `Layers` would be one image to the registry and
// another to whoever runs it (the confusion of advisory GHSA-qq97-vm5h-rrhg, by other means).

/** What objects at one place of a manifest may say, and what lies in their fields, directly or in a list. */
interface Shape {
  /** Names of the specification by their folded form. Case is judged for them alone: other keys are nobody's fields. */
  readonly names: ReadonlyMap<string, string>;
  readonly inside: ReadonlyMap<string, Shape>;
}

/** An object or a list that is being read. */
interface Level {
  /** Undefined for a list. */
  readonly keys: Set<string> | undefined;
  readonly shape: Shape;
  /** Of the value that comes next: its key or its position, and its shape. */
  at: string | number;
  next: Shape;
}

function shape(names: readonly string[], inside: Readonly<Record<string, Shape>> = {}): Shape {
  return { names: new Map(names.map((name) => [fold(name), name])), inside: new Map(Object.entries(inside)) };
}

/** Annotations and unknown fields: no key means anything to a client. */
const free = shape([]);
const platform = shape(["architecture", "os", "os.version", "os.features", "variant", "features"]);
const descriptor = shape(["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"], { platform });
/** `fsLayers`: by it readers tell schema 1. */
const manifest = shape(
  ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations", "fsLayers"],
  { config: descriptor, layers: descriptor, manifests: descriptor, subject: descriptor },
);

/**
 * Throws an Error (`has … twice`, `has … which clients take for …`) when an object of `text` has a key twice, or a manifest, descriptor or
 * platform a key that differs from a field of the specification in case alone. `text` must be JSON. One pass.
 */
export function refuseAmbiguousKeys(text: string): void {
  const levels: Level[] = [];
  for (let index = 0; index < text.length; index++) {
    const level = levels.at(-1);
    const character = text[index];
    if (character === "{" || character === "[") levels.push(levelOf(character === "{" ? "object" : "list", level));
    else if (character === "}" || character === "]") levels.pop();
    else if (character === "," && typeof level?.at === "number") level.at++;
    else if (character === '"') {
      const end = endOfString(text, index);
      if (level?.keys !== undefined && isKey(text, end)) enter(levels, level, stringOf(text.slice(index, end)));
      index = end - 1;
    }
  }
}

function levelOf(kind: "object" | "list", parent: Level | undefined): Level {
  const own = parent?.next ?? manifest;
  return kind === "object" ? { keys: new Set(), shape: own, at: "", next: free } : { keys: undefined, shape: own, at: 0, next: own };
}

function enter(levels: readonly Level[], level: Level, key: string): void {
  level.at = key;
  level.next = level.shape.inside.get(key) ?? free;
  if (level.keys?.has(key) === true) throw new Error(`has ${pathOf(levels)} twice: clients differ about which one counts`);
  level.keys?.add(key);
  const field = level.shape.names.size === 0 ? undefined : level.shape.names.get(fold(key));
  if (field === undefined || field === key) return;
  throw new Error(`has ${pathOf(levels)}, which many clients take for \`${field}\`: write it as the specification does, once`);
}

/** As Go's encoding/json folds keys: besides letters in upper case, ſ (U+017F) is an s and the Kelvin sign (U+212A) a k. */
function fold(key: string): string {
  return key.replaceAll("\u017f", "s").toLowerCase();
}

/** Of a string as it is written, with its quotes. Most keys have no escapes, and there may be a million. */
function stringOf(written: string): string {
  return written.includes("\\") ? (JSON.parse(written) as string) : written.slice(1, -1);
}

/** Index behind the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (text[index] !== '"') index += text[index] === "\\" ? 2 : 1;
  return index + 1;
}

/** True when a colon follows. A value is followed by something else, so spaces are passed over at most twice. */
function isKey(text: string, end: number): boolean {
  let index = end;
  while (" \t\r\n".includes(text[index] ?? ":")) index++;
  return text[index] === ":";
}

/** `layers[0].Digest`, short and with control characters escaped. */
function pathOf(levels: readonly Level[]): string {
  const path = levels.map(({ at }, index) => (typeof at === "number" ? `[${at}]` : `${index === 0 ? "" : "."}${at}`)).join("");
  return JSON.stringify(path.length > 80 ? `${path.slice(0, 80)}…` : path);
}
