// Connections to checked addresses only: the name is resolved here, judged, and exactly that address is connected to (no rebinding).

import { getCACertificates } from "node:tls";

import { Agent, buildConnector } from "undici";

import type { EgressPolicy, ResolvedAddress } from "./egress.ts";
import type { UpstreamTarget } from "./target.ts";

type Connector = ReturnType<typeof buildConnector>;

/** Most connections to one host; more requests wait, and their time runs, so that large layers must not use them all up. */
const connectionsPerHost = 128;

/** One pool for an Upstream and what it redirects to. HTTP/1.1 only; content is never decompressed. Close it when the target changes. */
export function createAgent(target: UpstreamTarget, egress: EgressPolicy): Agent {
  const own = connectorFor(target, { presentCertificate: true });
  const foreign = connectorFor(target, { presentCertificate: false });
  const connect: Connector = (options, callback) => {
    const isOwn = `${options.protocol}//${options.host ?? ""}` === target.url.origin;
    void connectChecked(isOwn ? own : foreign, () => egress.addressesOf(target, options), options, callback);
  };
  return new Agent({
    connect,
    connections: connectionsPerHost,
    pipelining: 1,
    headersTimeout: target.timeouts.firstByte,
    bodyTimeout: target.timeouts.idle,
    keepAliveTimeout: 15_000,
    maxHeaderSize: 32 * 1024,
  });
}

/** The client certificate is shown to the Upstream's own origin alone. */
function connectorFor(target: UpstreamTarget, options: { presentCertificate: boolean }): Connector {
  const { authority, certificate, key } = target.tls;
  return buildConnector({
    allowH2: false,
    timeout: target.timeouts.connect,
    ...(authority === undefined ? {} : { ca: [...getCACertificates("default"), authority] }),
    ...(options.presentCertificate && certificate !== undefined && key !== undefined ? { cert: certificate, key: key.reveal() } : {}),
  });
}

async function connectChecked(
  connector: Connector,
  resolve: () => Promise<readonly ResolvedAddress[]>,
  options: buildConnector.Options,
  callback: buildConnector.Callback,
): Promise<void> {
  try {
    connectToAny(connector, options, await resolve(), callback);
  } catch (error) {
    callback(error as Error, null);
  }
}

/** `hostname` is only where the connection goes; the server name for TLS comes from `host`, which stays the name that was asked for. */
function connectToAny(
  connector: Connector,
  options: buildConnector.Options,
  addresses: readonly ResolvedAddress[],
  callback: buildConnector.Callback,
): void {
  const [first, ...rest] = addresses;
  if (first === undefined) return callback(new Error("no address to connect to"), null);
  connector({ ...options, hostname: first.address }, (...[error, socket]) => {
    if (error === null) return callback(null, socket);
    if (rest.length === 0) return callback(error, null);
    connectToAny(connector, options, rest, callback);
  });
}
