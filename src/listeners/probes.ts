// Probes and metrics on a listener of their own, alike for every role: what a kubelet and a scraper ask, whatever else the process is busy with.
// Nobody needs a token here, so it is for the cluster's inside (docs/guides/several-processes.md, "Three listeners").

import { createServer, type ServerResponse } from "node:http";

import type { ListenAddress } from "../config/listen.ts";
import { listening, type Listening } from "./listening.ts";
import { makeRoom } from "./make-room.ts";
import { limitPipelining } from "./pipelining.ts";

export interface Check {
  /** What is looked at, in one word. */
  readonly name: string;
  readonly ready: boolean;
  /** What is found, in words. */
  readonly message: string;
}

export interface ProbesOptions {
  readonly listen: ListenAddress;
  /** That chooses another address. */
  readonly option: string;
  /** Asked at each probe: ready when every one of them is. */
  readonly checks: () => readonly Check[] | Promise<readonly Check[]>;
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
}

/** Of a process that counts nothing yet. */
export const noMetrics: ProbesOptions["metrics"] = { contentType: "text/plain; version=0.0.4; charset=utf-8", metrics: async () => "" };

/** Places for a kubelet, a few scrapers and a person: no other listener's connections take them away, nor who holds all that he can. */
const connections = 64;
/** Milliseconds: silence gives its place back soon. */
const headersTimeout = 5_000;
/** Milliseconds for a whole request: a body that never ends would keep a kubelet's probe out. */
const requestTimeout = 5_000;

/** Seconds: about as often as what is in the way is looked at again. */
const comeAgainAfter = 3;

const paths = ["/livez", "/readyz", "/metrics"] as const;

/**
 * `/livez`: the process runs. `/readyz`: 200, or 503 while a check is not ready, with what each found. `/metrics`: Prometheus. Rejects when the
 * address cannot be listened on.
 */
export async function startProbes({ listen, option, checks, metrics }: ProbesOptions): Promise<Listening> {
  const serve = async (path: string, response: ServerResponse): Promise<void> => {
    switch (path) {
      case "/livez":
        return json(response, 200, { live: true });
      case "/readyz": {
        const found = await checks();
        const ready = found.every((check) => check.ready);
        return json(response, ready ? 200 : 503, { ready, checks: found });
      }
      case "/metrics":
        return answer(response, 200, { type: metrics.contentType, text: await metrics.metrics() });
      default:
        return failure(response, 404, `There are ${paths.join(", ")}.`);
    }
  };
  const server = createServer(
    { headersTimeout, requestTimeout, connectionsCheckingInterval: 1_000 },
    limitPipelining(({ url = "" }, response) => {
      serve(url.split("?")[0] ?? "", response).catch((error: unknown) => failure(response, 500, String(error)));
    }),
  );
  makeRoom(server, connections);
  return listening(server, listen, { what: "The probes", option });
}

function failure(response: ServerResponse, status: number, message: string): void {
  json(response, status, { errors: [{ code: status === 404 ? "UNSUPPORTED" : "UNKNOWN", message }] });
}

function json(response: ServerResponse, status: number, body: unknown): void {
  if (status === 503) response.setHeader("retry-after", comeAgainAfter);
  answer(response, status, { type: "application/json", text: `${JSON.stringify(body)}\n` });
}

function answer(response: ServerResponse, status: number, { type, text }: { readonly type: string; readonly text: string }): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store", "x-content-type-options": "nosniff" }).end(text);
}
