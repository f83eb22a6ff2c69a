// `wharfinger operator` as a real process.

import { startSubcommand, type ServingProcess } from "./serving-process.ts";

export interface OperatorProcessOptions {
  readonly kubeconfig: string;
  /** The administrators' first. */
  readonly namespaces: readonly string[];
  readonly registry: string;
  readonly pullFrom?: string;
  /** File with the token for the registry's control API; one with `processToken` by default. */
  readonly tokenFile?: string;
  /** Folder of the record. */
  readonly record: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of Node itself, for example `--conditions=failpoints`. */
  readonly node?: readonly string[];
}

/** Resolves when its probes answer; rejects with its last words when it ends before. */
export function startOperatorProcess(options: OperatorProcessOptions): Promise<ServingProcess> {
  const { kubeconfig, namespaces, registry, pullFrom = registry, tokenFile, record, settings = {}, env = {}, node = [] } = options;
  const token = tokenFile === undefined ? [] : ["--token-file", tokenFile];
  return startSubcommand("operator", {
    settings,
    tokenOption: "--token-file",
    args: [
      ...token,
      "--registry",
      registry,
      "--pull-from",
      pullFrom,
      "--record",
      record,
      "--record-listen",
      "127.0.0.1:0",
      ...namespaces.flatMap((namespace) => ["--namespace", namespace]),
    ],
    env: { ...env, KUBECONFIG: kubeconfig },
    node,
    ready: "Watching ",
  });
}
