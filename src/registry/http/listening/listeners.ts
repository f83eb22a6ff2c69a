// Which listener answers what: images on one that everybody reaches, the control API on another where it is told to (design: registry.md, "The
// control API"). Probes and metrics have theirs in src/listeners.

import type { FastifyInstance } from "fastify";

import { connectionLimit, connectionShares, drain, leave, listen, type Address, type ConnectionShares } from "./listening.ts";
import { buildServer, type Answers, type ServerOptions } from "./server.ts";

type Place = Omit<Address, "option">;

export interface ListenersOptions extends Omit<ServerOptions, "connections"> {
  readonly listen: Place;
  /** Undefined: the control API is answered on `listen`, too. */
  readonly controlListen: Place | undefined;
  /** Connections open at once; by default what the process has descriptors and memory for. */
  readonly shares: ConnectionShares | undefined;
}

type Whole = Answers & Required<Pick<Answers, "v2" | "token" | "control">>;

export interface Listeners {
  /** `http://host:port`, or https, with the port that was taken. */
  readonly url: string;
  readonly controlUrl: string;
  /** From now on each connection has one more answer. New ones are still taken. */
  leave(): void;
  /** No new connections. Running transfers go on for `grace` milliseconds; connections that carry nothing end at once. */
  drain(options: { readonly grace: number }): Promise<void>;
}

/** Rejects with an Error that says what to do when an address cannot be had; nothing stays open then. */
export async function openListeners(options: ListenersOptions, { v2, token, control, probes }: Whole): Promise<Listeners> {
  const { controlListen, shares = connectionShares() } = options;
  const how = { tls: options.certificate !== undefined };
  const address = { ...options.listen, option: "--listen" };
  const aside = probes === undefined ? {} : { probes };
  if (controlListen === undefined) {
    const app = buildServer({ v2, token, control, ...aside }, { ...options, connections: options.shares?.data ?? connectionLimit() });
    const url = await listen(app, address, how);
    return { url, controlUrl: url, ...leaving([app]) };
  }
  const data = buildServer({ v2, token, ...aside }, { ...options, connections: shares.data });
  const inside = buildServer({ control }, { ...options, connections: shares.control });
  const url = await listen(data, address, how);
  try {
    const controlUrl = await listen(inside, { ...controlListen, option: "--control-listen" }, how);
    return { url, controlUrl, ...leaving([data, inside]) };
  } catch (error) {
    await data.close();
    throw error;
  }
}

function leaving(apps: readonly FastifyInstance[]): Pick<Listeners, "leave" | "drain"> {
  return {
    leave: () => apps.forEach(leave),
    drain: async (how) => void (await Promise.all(apps.map((app) => drain(app, how)))),
  };
}
