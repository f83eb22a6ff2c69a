// The same requests over HTTP/1.1 and HTTP/2, with clients of Node: many at once, on a connection each, or on four connections that they share.

import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:http2";
import { Agent, request } from "node:https";

export interface StreamsOptions {
  readonly url: string;
  readonly path: string;
  readonly requests: number;
  readonly atOnce: number;
  readonly ca: string;
  /** "1" or "2". */
  readonly version: string;
}

export async function streams({ url, path, requests, atOnce, ca, version }: StreamsOptions): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce, ca });
  const sessions = version === "2" ? Array.from({ length: 4 }, () => connect(url, { ca })) : [];
  const overOne = async () => {
    const outgoing = request(`${url}${path}`, { agent });
    outgoing.end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    await once(response.resume(), "end");
  };
  const overTwo = async (turn: number) => {
    const stream = sessions[turn % sessions.length]?.request({ ":path": path });
    if (stream !== undefined) await once(stream.resume(), "end");
  };
  let left = requests;
  await Promise.all(
    Array.from({ length: atOnce }, async (_, turn) => {
      while (left-- > 0) await (version === "2" ? overTwo(turn) : overOne());
    }),
  );
  agent.destroy();
  for (const session of sessions) session.destroy();
}
