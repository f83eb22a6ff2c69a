import { parse as parseToml } from "smol-toml";
import { expect, test } from "vitest";
import { parse as parseYaml, parseAllDocuments } from "yaml";

import type { NodeConfiguration } from "./form.ts";
import type { Mirror, MirroredHost } from "./mirror.ts";
import { platforms, type PlatformName } from "./platforms.ts";

const plain: Mirror = { address: "http://10.96.0.50:5000" };
const authority = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
/** With everything, and a password that every quoting has to survive. */
const guarded: Mirror = {
  address: "https://registry.internal:8443",
  authority,
  login: { user: "nodes", password: "wfr_\"'\\$(x)\u007f#" },
};
const hub: MirroredHost = { host: "docker.io", server: "https://registry-1.docker.io", names: { prefix: "hub", repositoryPrefix: "" } };
const cgr: MirroredHost = { host: "cgr.dev", server: "https://cgr.dev", names: { prefix: "cgr", repositoryPrefix: "chainguard" } };
const port: MirroredHost = { host: "old.example.com:5000", server: "https://old.example.com:5000" };

const made = (platform: PlatformName, mirror: Mirror, hosts: readonly MirroredHost[]) => platforms[platform].form(mirror, hosts);

function textOf({ files }: NodeConfiguration, name: string): string {
  const file = files.find((candidate) => candidate.name === name);
  if (file === undefined) throw new Error(`there is no ${name}: ${files.map((each) => each.name).join(", ")}`);
  return file.text;
}
const toml = (configuration: NodeConfiguration, name: string) => parseToml(textOf(configuration, name));
const yaml = (configuration: NodeConfiguration, name: string): unknown => parseYaml(textOf(configuration, name));

const basicOf = (login: Mirror["login"]) => `Basic ${Buffer.from(`${login?.user}:${login?.password}`).toString("base64")}`;

test("containerd: a folder a host, the registry itself as the way back", () => {
  const configuration = made("containerd", plain, [hub, port]);
  expect(configuration.files.map(({ name, secret }) => [name, secret])).toEqual([
    ["certs.d/docker.io/hosts.toml", undefined],
    // As containerd itself spells a port in a folder.
    ["certs.d/old.example.com_5000_/hosts.toml", undefined],
  ]);
  expect(toml(configuration, "certs.d/docker.io/hosts.toml")).toEqual({
    server: "https://registry-1.docker.io",
    host: { "http://10.96.0.50:5000": { capabilities: ["pull", "resolve"], dial_timeout: "1s" } },
  });
});

test("containerd: the authority beside it, the password as a header, and the file that has it for root alone", () => {
  const configuration = made("containerd", guarded, [hub]);
  expect(configuration.files.map(({ name, secret }) => [name, secret])).toEqual([
    ["certs.d/docker.io/wharfinger-ca.crt", undefined],
    ["certs.d/docker.io/hosts.toml", true],
  ]);
  expect(textOf(configuration, "certs.d/docker.io/wharfinger-ca.crt")).toContain(authority);
  expect(toml(configuration, "certs.d/docker.io/hosts.toml")).toMatchObject({
    host: { [guarded.address]: { ca: "wharfinger-ca.crt", header: { Authorization: basicOf(guarded.login) } } },
  });
});

test("eks: user data whose script holds the same files", () => {
  const configuration = made("eks", guarded, [hub]);
  const text = textOf(configuration, "user-data.txt");
  const files = [...text.matchAll(/base64 -d >'(.*)' <<'EOF'\n(.*)\nEOF/g)].map(([, path, data = ""]) => [
    path,
    Buffer.from(data, "base64").toString(),
  ]);
  expect(files).toEqual(made("containerd", guarded, [hub]).files.map(({ name, text: content }) => [`/etc/containerd/${name}`, content]));
});

test("k3s: mirrors, and under the mirror's own name how it is asked", () => {
  expect(yaml(made("k3s", plain, [hub, cgr]), "registries.yaml")).toEqual({
    mirrors: { "docker.io": { endpoint: [plain.address] }, "cgr.dev": { endpoint: [plain.address] } },
  });
  const configuration = made("k3s", guarded, [hub]);
  expect(yaml(configuration, "registries.yaml")).toEqual({
    mirrors: { "docker.io": { endpoint: [guarded.address] } },
    configs: {
      "registry.internal:8443": {
        auth: { username: "nodes", password: guarded.login?.password },
        tls: { ca_file: "/etc/rancher/k3s/wharfinger-ca.crt" },
      },
    },
  });
  expect(textOf(configuration, "wharfinger-ca.crt")).toContain(authority);
});

test("gke: registryHosts of a runtime configuration file", () => {
  expect(yaml(made("gke", guarded, [hub, cgr]), "containerd-configuration.yaml")).toEqual({
    registryHosts: ["docker.io", "cgr.dev"].map((server) => ({
      server,
      hosts: [
        {
          host: guarded.address,
          capabilities: ["HOST_CAPABILITY_PULL", "HOST_CAPABILITY_RESOLVE"],
          dialTimeout: "1s",
          ca: [{ gcpSecretManagerSecretUri: "projects/PROJECT/secrets/wharfinger-ca/versions/1" }],
          header: [{ key: "Authorization", value: [basicOf(guarded.login)] }],
        },
      ],
    })),
  });
  expect(made("gke", plain, [hub]).notes.join()).toContain("1.34.1-gke.2980000");
});

test("bottlerocket: settings", () => {
  expect(toml(made("bottlerocket", guarded, [hub]), "user-data.toml")).toEqual({
    settings: {
      "container-registry": {
        mirrors: [{ registry: "docker.io", endpoint: [guarded.address] }],
        credentials: [{ registry: "registry.internal:8443", username: "nodes", password: guarded.login?.password }],
      },
      pki: { wharfinger: { data: Buffer.from(authority).toString("base64"), trusted: true } },
    },
  });
});

test("openshift: tags and digests, by paths, with the way back", () => {
  const objects = parseAllDocuments(textOf(made("openshift", guarded, [cgr]), "wharfinger-mirrors.yaml")).map((document) =>
    document.toJS(),
  );
  const mirrors = [{ source: "cgr.dev/chainguard", mirrors: ["registry.internal:8443/cgr"], mirrorSourcePolicy: "AllowContactingSource" }];
  expect(objects).toMatchObject([
    { kind: "ImageDigestMirrorSet", spec: { imageDigestMirrors: mirrors } },
    { kind: "ImageTagMirrorSet", spec: { imageTagMirrors: mirrors } },
    { kind: "ConfigMap", metadata: { namespace: "openshift-config" }, data: { "registry.internal..8443": authority } },
  ]);
});

test.each(["crio", "podman"] as const)("%s: mirrors are paths, for nobody says ?ns= there", (platform) => {
  const configuration = made(platform, plain, [hub, cgr]);
  expect(toml(configuration, "registries.conf.d/50-wharfinger.conf")).toEqual({
    registry: [
      { prefix: "docker.io", location: "docker.io", mirror: [{ location: "10.96.0.50:5000/hub", insecure: true }] },
      { prefix: "cgr.dev/chainguard", location: "cgr.dev/chainguard", mirror: [{ location: "10.96.0.50:5000/cgr", insecure: true }] },
    ],
  });
  const withLogin = made(platform, guarded, [hub]);
  expect(toml(withLogin, "registries.conf.d/50-wharfinger.conf")).toMatchObject({
    registry: [{ mirror: [{ location: "registry.internal:8443/hub" }] }],
  });
  expect(textOf(withLogin, "certs.d/registry.internal:8443/ca.crt")).toContain(authority);
  const { auth } = (JSON.parse(textOf(withLogin, "wharfinger-auth.json")) as { auths: Record<string, { auth: string }> }).auths[
    "registry.internal:8443"
  ] ?? { auth: "" };
  expect(`Basic ${auth}`).toBe(basicOf(guarded.login));
  expect(withLogin.files.find(({ name }) => name.endsWith(".json"))?.secret).toBe(true);
});

test("a path needs the prefix", () => {
  expect(() => made("crio", plain, [port])).toThrow("--upstream old.example.com:5000=<prefix>");
});

test("docker: for docker.io alone, without a password, and that is said", () => {
  const configuration = made("docker", plain, [hub, cgr]);
  expect(JSON.parse(textOf(configuration, "daemon.json"))).toEqual({
    "registry-mirrors": [plain.address],
    "insecure-registries": ["10.96.0.50:5000"],
  });
  expect(configuration.notes.join(" ")).toContain("does not ask for cgr.dev");
  expect(() => made("docker", plain, [cgr])).toThrow("for docker.io alone");
  expect(() => made("docker", guarded, [hub])).toThrow("shows its mirrors no password");
});

test("buildkit: mirrors without a path, and how their host is asked", () => {
  expect(toml(made("buildkit", plain, [hub, cgr]), "buildkitd.toml")).toEqual({
    registry: {
      "docker.io": { mirrors: ["10.96.0.50:5000"] },
      "cgr.dev": { mirrors: ["10.96.0.50:5000"] },
      "10.96.0.50:5000": { http: true },
    },
  });
  const configuration = made("buildkit", guarded, [hub]);
  expect(toml(configuration, "buildkitd.toml")).toMatchObject({
    registry: { "registry.internal:8443": { ca: ["/etc/buildkit/wharfinger-ca.crt"] } },
  });
  expect(configuration.files.map(({ text }) => text).join()).not.toContain("wfr_");
});

const withLogins = (Object.keys(platforms) as PlatformName[]).filter((platform) => platform !== "docker");

test.each(withLogins)("%s: a file with the password is not for everybody to read", (platform) => {
  const login = { user: "nodes", password: "wfr_secret" };
  const secrets = [login.password, Buffer.from(`nodes:${login.password}`).toString("base64")];
  const hasIt = (text: string) => secrets.some((secret) => text.includes(secret) || /base64 -d/.test(text));
  for (const { text, secret = false } of made(platform, { ...guarded, login }, [hub]).files)
    expect([text, secret]).toEqual([text, hasIt(text)]);
});
