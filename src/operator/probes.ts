// Probes and metrics of the operator, on a port of their own: what a kubelet and a scraper ask.

import { createServer, type ServerResponse } from "node:http";

import type { ListenAddress } from "../config/listen.ts";
import { listening, type Listening } from "./listening.ts";

export interface ProbesOptions {
  readonly listen: ListenAddress;
  /** Why it is not ready, a sentence each; empty: it is. */
  readonly obstacles: () => readonly string[];
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
}

const plain = "text/plain; charset=utf-8";

/** `/livez`: the process runs. `/readyz`: it has seen what it watches. `/metrics`: Prometheus. Rejects when the address cannot be listened on. */
export async function startProbes({ listen, obstacles, metrics }: ProbesOptions): Promise<Listening> {
  const answer = (response: ServerResponse, status: number, text: string, type = plain) =>
    void response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(text);
  const server = createServer(({ url = "" }, response) => {
    const path = url.split("?")[0];
    if (path === "/livez") return answer(response, 200, "ok\n");
    if (path === "/readyz") {
      const found = obstacles();
      return answer(response, found.length === 0 ? 200 : 503, found.length === 0 ? "ok\n" : `${found.join("\n")}\n`);
    }
    if (path !== "/metrics") return answer(response, 404, "There are /livez, /readyz and /metrics.\n");
    void metrics.metrics().then(
      (text) => answer(response, 200, text, metrics.contentType),
      (error: unknown) => answer(response, 500, `${String(error)}\n`),
    );
  });
  return listening(server, listen, { what: "The probes", option: "--listen" });
}
