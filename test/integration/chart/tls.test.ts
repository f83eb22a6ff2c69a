// Certificates: the registry's Pods speak TLS themselves, whoever asks them knows their authority, and what stands before them speaks TLS to them.

import { expect, test } from "vitest";

import { embedded, everything, named, ofKind, production, render, reporterAlone, type Rendered, type Values } from "../../support/chart.ts";

const podOf = (objects: readonly Rendered[], name: string) => named(objects, "Deployment", `wharfinger-${name}`).spec.template.spec;
const flagsOf = (objects: readonly Rendered[], name: string) => podOf(objects, name).containers[0]?.args ?? [];
const volumeOf = (objects: readonly Rendered[], name: string, volume: string) =>
  podOf(objects, name).volumes.find((each) => each["name"] === volume);
const certificates = (objects: readonly Rendered[]) =>
  ofKind(objects, "Certificate").map(({ metadata, spec }) => ({ name: metadata.name, ...spec }));

test("Pods speak TLS with the Secret that is named, and the operator and the reporter trust its authority alone", async () => {
  const objects = await render({ ...production, components: ["registry", "operator", "report"], reporter: { cluster: "prod" } });
  expect(flagsOf(objects, "registry")).toEqual(
    expect.arrayContaining(["--tls-certificate=/etc/wharfinger/tls/tls.crt", "--tls-key=/etc/wharfinger/tls/tls.key"]),
  );
  expect(volumeOf(objects, "registry", "tls")).toMatchObject({ secret: { secretName: "certificate" } });
  for (const name of ["operator", "reporter"]) {
    expect(flagsOf(objects, name)).toContain("--ca=/etc/wharfinger/ca/ca.crt");
    // Not the key.
    const items = [{ key: "ca.crt", path: "ca.crt" }];
    expect(volumeOf(objects, name, "registry-ca")).toMatchObject({ secret: { secretName: "certificate", items } });
  }
  expect(certificates(objects)).toEqual([]);
});

test("cert-manager's certificate has every name by which the Pods are asked, and the Ingress one for clients", async () => {
  const objects = await render({ ...everything, service: { clusterIP: "10.96.0.50" } });
  const [pods, clients] = certificates(objects);
  expect(pods).toMatchObject({
    name: "wharfinger-tls",
    secretName: "wharfinger-tls",
    dnsNames: [
      "registry.example.com",
      "wharfinger.registry",
      "wharfinger.registry.svc",
      "wharfinger-control.registry",
      "wharfinger-control.registry.svc",
    ],
    ipAddresses: ["10.96.0.50"],
    issuerRef: { name: "authority", kind: "ClusterIssuer" },
  });
  expect(clients).toMatchObject({ name: "wharfinger-ingress-tls", dnsNames: ["registry.example.com"], issuerRef: { name: "letsencrypt" } });
  expect(volumeOf(objects, "registry", "tls")).toMatchObject({ secret: { secretName: "wharfinger-tls" } });
  expect(ofKind(objects, "Ingress")[0]?.spec["tls"]).toEqual([{ hosts: ["registry.example.com"], secretName: "wharfinger-ingress-tls" }]);
});

test.each([
  ["https://10.0.0.7:5000", { ipAddresses: ["10.0.0.7"] }],
  ["https://[fd00::7]:5000", { ipAddresses: ["fd00::7"] }],
])("of %s the certificate has the address", async (externalURL, names) => {
  const [pods] = certificates(await render({ ...production, externalURL, tls: everything.tls }));
  expect(pods).toMatchObject(names);
  expect(JSON.stringify((pods as Values)["dnsNames"])).not.toContain("7");
});

test("an Ingress without a certificate of its own shows that of the Pods", async () => {
  const objects = await render({ ...everything, tls: production.tls, ingress: { enabled: true } });
  expect(ofKind(objects, "Ingress")[0]?.spec["tls"]).toEqual([{ hosts: ["registry.example.com"], secretName: "certificate" }]);
});

test("what stands before the Pods speaks TLS to them, unless they do not", async () => {
  const objects = await render({ ...everything, ingress: { enabled: true, annotations: { "haproxy.org/server-ssl": "false" } } });
  expect(ofKind(objects, "Ingress")[0]?.metadata.annotations).toMatchObject({
    "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
    "haproxy.org/server-ssl": "false",
  });
  expect(named(objects, "Service", "wharfinger")).toMatchObject({
    metadata: { annotations: { "traefik.ingress.kubernetes.io/service.serversscheme": "https" } },
    spec: { ports: [{ appProtocol: "https" }] },
  });
  expect(named(objects, "BackendTLSPolicy", "wharfinger").spec).toMatchObject({
    targetRefs: [{ kind: "Service", name: "wharfinger" }],
    validation: { hostname: "wharfinger.registry.svc", caCertificateRefs: [{ name: "authority" }] },
  });
  const plain = await render({ ...everything, ingress: { enabled: true }, tls: { enabled: false } });
  const text = JSON.stringify(plain.filter(({ kind }) => ["Ingress", "Service", "BackendTLSPolicy"].includes(kind)));
  expect(text).not.toMatch(/HTTPS|https|BackendTLSPolicy/);
});

test("without TLS nobody asks for certificates: the profile for trying, and where it is said", async () => {
  for (const values of [embedded, { ...production, tls: { enabled: false } }]) {
    const objects = await render(values);
    expect([...flagsOf(objects, "registry"), ...flagsOf(objects, "operator")].filter((flag) => /^--(tls|ca)/.test(flag))).toEqual([]);
    expect(flagsOf(objects, "operator")).toContain("--registry=http://wharfinger-control.registry.svc:5001");
    expect(JSON.stringify(objects)).not.toContain("/etc/wharfinger/tls");
  }
  const asked = await render({ ...embedded, tls: { enabled: true, existingSecret: "certificate" } });
  expect(flagsOf(asked, "registry")).toContain("--tls-key=/etc/wharfinger/tls/tls.key");
  expect(flagsOf(asked, "operator")).toContain("--registry=https://wharfinger-control.registry.svc:5001");
});

test("a registry elsewhere is known by the authority that is named, or by those that Node knows", async () => {
  expect(flagsOf(await render(reporterAlone), "reporter").filter((flag) => flag.startsWith("--ca"))).toEqual([]);
  const objects = await render({ ...reporterAlone, tls: { caSecret: { name: "edge-authority", key: "root.pem" } } });
  expect(volumeOf(objects, "reporter", "registry-ca")).toMatchObject({
    secret: { secretName: "edge-authority", items: [{ key: "root.pem", path: "ca.crt" }] },
  });
  const known = await render({ ...production, tls: { existingSecret: "certificate", caSecret: { key: "" } } });
  expect(flagsOf(known, "operator").filter((flag) => flag.startsWith("--ca"))).toEqual([]);
});
