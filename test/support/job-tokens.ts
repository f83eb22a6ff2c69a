// Jobs as they come in a cluster: each with the token of its Pod, and no other rights than its run's.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ControlClient } from "../../src/client/control-client.ts";
import { RegistryClient } from "../../src/client/registry-client.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { audience, clusterIssuer, createTokenIssuer } from "./token-issuer.ts";

const jobs = { namespace: "wharfinger", name: "wharfinger-jobs" };

export interface JobPod {
  readonly pod: string;
  readonly control: ControlClient;
  readonly registry: RegistryClient;
  close(): Promise<void>;
}

export interface JobCluster {
  /** The defaults, and what makes the tokens of `startPod` count. */
  readonly settings: Settings;
  /** One whose run is still to be registered. */
  startPod(url: string): Promise<JobPod>;
}

export async function createJobCluster(): Promise<JobCluster> {
  const issuer = await createTokenIssuer();
  const folder = mkdtempSync(join(tmpdir(), "job-cluster-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const jwks = join(folder, "jwks.json");
  writeFileSync(jwks, issuer.jwks);
  let count = 0;
  return {
    settings: {
      ...defaultSettings,
      externalURL: `https://${audience}`,
      auth: { issuers: [{ name: "in-cluster", issuer: clusterIssuer, jwks }] },
      access: { ...defaultSettings.access, jobs: { issuer: "in-cluster", ...jobs } },
    },
    startPod: async (url) => {
      const pod = `job-${++count}`;
      const token = await issuer.token({ ...jobs, pod });
      const control = new ControlClient({ url, token });
      const registry = new RegistryClient({ url, token });
      return { pod, control, registry, close: async () => void (await Promise.all([control.close(), registry.close()])) };
    },
  };
}
