// What the notes of an installation advise works: for mirrors, what `wharfinger hosts` takes once what is left open is filled in, and for the first pull.

import { expect, test } from "vitest";

import { isLoopback, parseAddress } from "../../../src/nodes/addresses.ts";
import { embedded, production, type Values } from "../../support/chart.ts";
import { notesOf } from "../../support/chart-notes.ts";

const trial = { ...embedded, externalURL: "http://localhost:30500", service: { type: "NodePort", nodePort: 30500 } };

test.each<[name: string, values: Values, address: string, asked: boolean]>([
  ["the trial of the guide", { ...trial, settings: { access: { anonymousPull: "None" } } }, "http://10.96.0.50:5000", true],
  ["nothing but the profile", embedded, "http://10.96.0.50:5000", true],
  ["a Service with an address", { ...trial, service: { ...trial.service, clusterIP: "10.96.0.7" } }, "http://10.96.0.7:5000", false],
  ["a name", { ...production, externalURL: "https://registry.example.com", service: { port: 443 } }, "https://registry.example.com", false],
])("%s", async (_, values, address, asked) => {
  const notes = await notesOf(values);
  const advised = / hosts -n registry --for containerd --address (\S+)(.*)$/m.exec(notes.replace("<that address>", "10.96.0.50"));
  expect(advised?.slice(1)).toEqual([address, ""]);
  expect([parseAddress(address), isLoopback(address)]).toEqual([address, false]);
  expect(/ get service wharfinger -o jsonpath=\{\.spec\.clusterIP\}$/m.test(notes)).toBe(asked);
});

test.each<[name: string, values: Values, command: string | undefined]>([
  ["a port of each node", trial, "kubectl run try --image=localhost:30500/cgr/chainguard/nginx --restart=Never"],
  ["a name for Pods", embedded, undefined],
  ["a name", { ...production, externalURL: "https://registry.example.com" }, "docker pull registry.example.com/cgr/chainguard/nginx"],
])("the first pull is by what finds the registry: %s", async (_, values, command) => {
  const access = { settings: { ...(values["settings"] as object | undefined), access: { anonymousPull: "PublicUpstreams" } } };
  const notes = await notesOf({ ...values, ...access });
  expect(/^ {2}(.*\/cgr\/chainguard\/nginx.*)$/m.exec(notes)?.[1]).toBe(command);
});

test("where everybody is kept out by the settings, the notes say before the first pull what lets somebody in", async () => {
  const said = "Nobody pulls it before an AccessPolicy says who may (docs/guides/access.md):\n  kubectl run try ";
  expect(await notesOf(trial)).toContain(said); // reached from outside
  expect(await notesOf({ ...trial, settings: { access: { anonymousPull: "None" } } })).toContain(said);
  expect(await notesOf({ ...trial, settings: { access: { anonymousPull: "PublicUpstreams" } } })).not.toContain("Nobody pulls");
});
