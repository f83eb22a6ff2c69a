// What the registry's own listener answers while something is in the way of the start: that it lives, that it is not ready, and to everybody else
// that they should come again.

import { createHash, timingSafeEqual } from "node:crypto";

import type { Logger } from "../../../observability/logger.ts";
import { jsonAnswer, type WholeAnswer } from "../answer.ts";
import { Certificate, type CertificateFiles } from "./certificate.ts";
import { errorBody } from "../errors.ts";
import { listen } from "./listening.ts";
import { replyWhole } from "../reply.ts";
import { buildServer } from "./server.ts";

export interface WaitingRoomOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls: CertificateFiles | undefined;
  /** Why it is not ready: one word for everybody, and the sentence, which names hosts, users and buckets. */
  readonly why: () => { readonly reason: string; readonly message: string };
  /** Whoever has it reads the sentence. */
  readonly adminToken: string | undefined;
  /** Seconds after which another try may have more luck. */
  readonly retryAfter: number;
  readonly logger: Logger;
}

/** Nobody has work to do here. */
const connections = 256;
const stallTimeout = 5_000;

/** Resolves with how it is closed: at once, whoever is connected. Rejects with an Error that says what to do when the address cannot be had. */
export async function openWaitingRoom(options: WaitingRoomOptions): Promise<() => Promise<void>> {
  const { tls, logger } = options;
  const certificate = tls === undefined ? undefined : await Certificate.open(tls, { logger });
  const app = buildServer({}, { stallTimeout, visitors: { hosts: [] }, direct: true, connections, certificate, logger });
  app.addHook("onRequest", (request, reply) => {
    const path = request.raw.url?.split("?")[0] ?? "";
    return replyWhole(request, reply, answerTo(path, request.headers.authorization, options), { stallTimeout });
  });
  const close = async () => {
    app.server.closeAllConnections();
    await app.close();
    certificate?.close();
  };
  try {
    await listen(app, { ...options.listen, option: "--listen" }, { tls: certificate !== undefined });
  } catch (error) {
    await close();
    throw error;
  }
  return close;
}

function answerTo(path: string, authorization: string | undefined, { why, adminToken, retryAfter }: WaitingRoomOptions): WholeAnswer {
  if (path === "/livez") return jsonAnswer({ live: true });
  const later = { status: 503, headers: { "retry-after": String(retryAfter) } };
  if (path !== "/readyz") return jsonAnswer(errorBody("UNAVAILABLE", "The registry is starting. Try again shortly."), later);
  const { reason, message } = why();
  const told = isAdmin(authorization, adminToken) ? `${reason}: ${message}` : reason;
  return jsonAnswer({ ready: false, checks: [{ name: "start", ready: false, message: told }] }, later);
}

function isAdmin(authorization: string | undefined, adminToken: string | undefined): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return adminToken !== undefined && timingSafeEqual(hash(authorization ?? ""), hash(`Bearer ${adminToken}`));
}
