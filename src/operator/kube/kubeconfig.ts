// A kubeconfig with all that people write into one (contexts, files, programs that log in), by the client that knows it all.

import type { RequestOptions } from "node:https";
import { delimiter } from "node:path";

import { KubeConfig } from "@kubernetes/client-node";

import type { ClusterAccess } from "./credentials.ts";

/**
 * `files`: as KUBECONFIG names them. `context`: by its name; else the one that the first of them calls current. Throws an Error that says what is
 * wrong with them.
 */
export function accessOfKubeconfig(files: string, { context: wanted }: { readonly context?: string | undefined } = {}): ClusterAccess {
  const [first = "", ...others] = files.split(delimiter).filter((file) => file !== "");
  const config = loaded(first);
  for (const file of others) config.mergeConfig(loaded(file), true);
  if (wanted !== undefined) config.setCurrentContext(wanted);
  const context = config.getContextObject(config.getCurrentContext());
  const cluster = config.getCurrentCluster();
  if (context === null || cluster === null) throw noContext(config, { files, wanted });
  return {
    context: context.name,
    server: cluster.server.replace(/\/+$/, ""),
    namespace: context.namespace ?? "default",
    async credentials() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      const { authorization, Authorization, ...headers } = (options.headers ?? {}) as Record<string, string | undefined>;
      const basic = typeof options.auth === "string" ? `Basic ${Buffer.from(options.auth).toString("base64")}` : undefined;
      return {
        authorization: Authorization ?? authorization ?? basic,
        // Whom to act as (`as` of the user): without it we would act with more rights than the file says.
        headers: Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
        tls: {
          ca: text(options.ca),
          cert: text(options.cert),
          key: text(options.key),
          servername: options.servername,
          rejectUnauthorized: options.rejectUnauthorized,
        },
      };
    },
  };
}

function loaded(file: string): KubeConfig {
  const config = new KubeConfig();
  try {
    config.loadFromFile(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new Error(`The kubeconfig ${file} cannot be read (${code ?? message}): name another one with --kubeconfig or KUBECONFIG.`, {
      cause,
    });
  }
  return config;
}

function noContext(config: KubeConfig, { files, wanted }: { readonly files: string; readonly wanted: string | undefined }): Error {
  if (wanted === undefined)
    return new Error(`The kubeconfig ${files} has no current context: choose one with \`kubectl config use-context\`.`);
  const names = config.getContexts().map(({ name }) => name);
  return new Error(`The kubeconfig ${files} has no context ${wanted}${names.length === 0 ? "" : `; it has ${names.join(", ")}`}.`);
}

/** PEM, of a file or written into the kubeconfig. */
function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : Buffer.isBuffer(value) ? value.toString("utf8") : undefined;
}
