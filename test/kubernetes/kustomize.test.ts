// deploy/base and deploy/overlays are the chart, rendered: `npm run unit -- --project kubernetes test/kubernetes/kustomize.test.ts --update=all` writes
// them when it ends, and is green the second time.

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";

import { named, objectsOf, ofKind, render, type Rendered, type Values } from "../support/chart.ts";
import { startApiServer, type ApiServer } from "../support/kubernetes.ts";

const deploy = resolve(import.meta.dirname, "../../deploy");
const overlays = ["embedded", "production"] as const;
type Overlay = (typeof overlays)[number];

/** Without Helm: its labels and annotations, its tests, and the names of settings, which kustomize makes. */
function withoutHelm(objects: readonly Rendered[]): Rendered[] {
  const installed = objects.filter(({ metadata }) => metadata.name !== "wharfinger-test" && settingsOf(metadata.name) === undefined);
  return installed.map((object) => {
    const metadata = Object.entries(object.metadata).map(
      ([key, value]) => [key, typeof value === "string" ? value : ofNobody(value)] as const,
    );
    const kept = { ...object, metadata: Object.fromEntries(metadata.filter(([, value]) => Object.keys(value).length > 0)) };
    return JSON.parse(JSON.stringify(kept).replaceAll(settingsName, "wharfinger-settings")) as Rendered;
  });
}
const ofNobody = (entries: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(entries).filter(([key, value]) => !key.startsWith("helm.sh/") && value !== "Helm"));
const settingsName = /wharfinger-settings-[0-9a-f]+/g;
const settingsOf = (name: string) => name.match(settingsName)?.[0];
const text = (object: Rendered) => JSON.stringify(object);
const idOf = ({ kind, metadata }: Rendered) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
const written = (objects: readonly Rendered[]) =>
  `# The chart, rendered (test/kubernetes/kustomize.test.ts). Do not edit.\n${objects.map((object) => stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 })).join("---\n")}`;

const rendered = {} as Record<Overlay, readonly Rendered[]>;
const settings = {} as Record<Overlay, string>;
let api: ApiServer;

beforeAll(async () => {
  for (const overlay of overlays) {
    const values = parse(await readFile(join(deploy, "overlays", overlay, "values.yaml"), "utf8")) as Values;
    const objects = await render(values, { namespace: "wharfinger" });
    rendered[overlay] = withoutHelm(objects);
    settings[overlay] = objects.find(({ metadata }) => settingsOf(metadata.name) !== undefined)?.data["settings.yaml"] ?? "";
  }
  api = await startApiServer();
});
afterAll(() => api?.stop());

test("base is what the profiles have in common, an overlay the rest of its own", async () => {
  const [one, other] = overlays.map((overlay) => new Set(rendered[overlay].map(text)));
  const common = (object: Rendered) => one?.has(text(object)) === true && other?.has(text(object)) === true;
  await expect(written(rendered.embedded.filter(common))).toMatchFileSnapshot(join(deploy, "base/wharfinger.yaml"));
  for (const overlay of overlays) {
    const folder = join(deploy, "overlays", overlay);
    await expect(written(rendered[overlay].filter((object) => !common(object)))).toMatchFileSnapshot(join(folder, "wharfinger.yaml"));
    await expect(settings[overlay]).toMatchFileSnapshot(join(folder, "settings.yaml"));
  }
});

test.each(overlays)(
  "kustomize puts %s together again, and a real API server takes it and then finds nothing to change",
  async (overlay) => {
    const folder = join(deploy, "overlays", overlay);
    const built = await api.kubectl(["kustomize", folder]);
    expect(built.stderr).toBe("");
    const objects = objectsOf(built.stdout);
    const made = objects.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name.startsWith("wharfinger-settings-"));
    expect(made).toMatchObject({ immutable: true, data: { "settings.yaml": settings[overlay] } });
    const rest = objects.filter((object) => object !== made && object.kind !== "Namespace");
    const byId = (list: readonly Rendered[]) => Object.fromEntries(list.map((object) => [idOf(object), object]));
    const plain = JSON.parse(text(rest as never).replaceAll(made?.metadata.name ?? "", "wharfinger-settings")) as Rendered[];
    expect(byId(plain)).toEqual(byId(rendered[overlay]));
    expect(await api.kubectl(["apply", "--server-side", "--validate=strict", "-k", folder])).toMatchObject({ code: 0 });
    // As Argo CD looks at it: something that is different at each look would be out of sync for ever.
    expect(await api.kubectl(["diff", "--server-side", "-k", folder])).toMatchObject({ code: 0, stdout: "" });
  },
);

test.each(overlays)("who follows the top of %s's kustomization.yaml has replaced all that is not his own", async (overlay) => {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-overlay-"));
  try {
    await cp(deploy, folder, { recursive: true });
    const place = join(folder, "overlays", overlay);
    // Two files: in all others a reader changes nothing.
    for (const file of ["kustomization.yaml", "settings.yaml"]) {
      const written = await readFile(join(place, file), "utf8");
      const his = written
        .replaceAll(/^( +newName:).*$/gm, "$1 images.internal/wharfinger")
        .replaceAll(/^( +newTag:).*$/gm, "$1 1.2.3")
        .replaceAll(/^( +image:) .*$/gm, "$1 images.internal/wharfinger:1.2.3")
        .replaceAll("example.com", "internal");
      expect(his).not.toBe(written);
      await writeFile(join(place, file), his);
    }
    const { stdout } = await api.kubectl(["kustomize", place]);
    // Descriptions of the definitions have examples.
    const objects = objectsOf(stdout).filter(({ kind }) => kind !== "CustomResourceDefinition");
    expect(JSON.stringify(objects)).not.toMatch(/example\.com|ghcr\.io/);
    const pods = ofKind(objects, "Deployment").map(({ spec }) => spec.template);
    expect(pods.flatMap(({ spec }) => spec.containers.map((each) => (each as unknown as { readonly image: string }).image))).toEqual([
      "images.internal/wharfinger:1.2.3",
      "images.internal/wharfinger:1.2.3",
    ]);
    const host = overlay === "production" ? "registry.internal" : "localhost:30500";
    expect(pods.map(({ metadata }) => metadata.annotations?.["wharfinger.dev/audience"])).toEqual([host, host]);
    expect(JSON.stringify(pods)).toContain(`"audience":"${host}"`);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("production lets nobody in unasked, believes no proxy, and watches a namespace without the registry's Secrets", async () => {
  const { access } = parse(settings.production) as { readonly access: object };
  expect(access).toMatchObject({ anonymousPull: "None", trustedProxies: [] });
  const operator = named(rendered.production, "Deployment", "wharfinger-operator", "wharfinger");
  const watched = operator.spec.template.spec.containers[0]?.args.filter((flag) => flag.startsWith("--namespace="));
  expect(watched).toEqual(["--namespace=wharfinger-resources"]);
  const top = await readFile(join(deploy, "overlays/production/kustomization.yaml"), "utf8");
  expect(top).toContain("belong into namespace wharfinger-resources");
});
