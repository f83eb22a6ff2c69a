// The operator and jobs as they come in a cluster: with tokens, and no other rights than these give them.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ControlClient } from "../../src/client/control-client.ts";
import { RegistryClient } from "../../src/client/registry-client.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { audience, clusterIssuer, createTokenIssuer } from "./token-issuer.ts";

const operator = { namespace: "wharfinger", name: "wharfinger-operator" };
const jobs = { namespace: "wharfinger", name: "wharfinger-jobs" };

/** Registries read their keys again as long as they run. */
const folders: string[] = [];
process.once("exit", () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

export interface JobPod {
  readonly pod: string;
  readonly control: ControlClient;
  readonly registry: RegistryClient;
  close(): Promise<void>;
}

export interface TokenCluster {
  /** The defaults, and what makes the tokens count. */
  readonly settings: Settings;
  /** Good for an hour. */
  operatorToken(): Promise<string>;
  /** The token of a job's Pod whose run is still to be registered. */
  podToken(): Promise<{ readonly pod: string; readonly token: string }>;
  /** The same with clients. */
  startPod(url: string): Promise<JobPod>;
}

export async function createTokenCluster(): Promise<TokenCluster> {
  const issuer = await createTokenIssuer({ algorithm: "ES256" });
  const folder = mkdtempSync(join(tmpdir(), "token-cluster-"));
  folders.push(folder);
  const jwks = join(folder, "jwks.json");
  writeFileSync(jwks, issuer.jwks);
  let count = 0;
  const podToken = async () => {
    const pod = `job-${++count}`;
    return { pod, token: await issuer.token({ ...jobs, pod }) };
  };
  return {
    settings: {
      ...defaultSettings,
      externalURL: `https://${audience}`,
      auth: { issuers: [{ name: "in-cluster", issuer: clusterIssuer, jwks }] },
      access: {
        ...defaultSettings.access,
        operator: { issuer: "in-cluster", ...operator },
        jobs: { issuer: "in-cluster", ...jobs },
      },
    },
    operatorToken: () => issuer.token({ ...operator, expires: 3_600 }),
    podToken,
    startPod: async (url) => {
      const { pod, token } = await podToken();
      const control = new ControlClient({ url, token });
      const registry = new RegistryClient({ url, token });
      return { pod, control, registry, close: async () => void (await Promise.all([control.close(), registry.close()])) };
    },
  };
}
