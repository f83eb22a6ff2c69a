// What a request to /v2 is, by its target, method and headers alone.

import type { IncomingMessage } from "node:http";

import type { Action } from "../../../domain/access.ts";
import { describeIdentity, type Identity } from "../../../domain/identity.ts";
import { isNobody, type Role } from "../../../domain/control-access.ts";
import { neededScope } from "../../../domain/scope.ts";
import type { V2Path } from "../../../domain/v2-path.ts";
import { HttpError } from "../errors.ts";
import { sourceOf } from "../limits/sources.ts";

export type RepositoryPath = Exclude<V2Path, { kind: "base" | "catalog" }>;

export const methods: Readonly<Record<V2Path["kind"], readonly string[]>> = {
  base: ["GET", "HEAD"],
  catalog: ["GET", "HEAD"],
  tags: ["GET", "HEAD"],
  manifest: ["GET", "HEAD", "PUT", "DELETE"],
  blob: ["GET", "HEAD", "DELETE"],
  uploads: ["POST"],
  upload: ["GET", "HEAD", "PATCH", "PUT", "DELETE"],
  referrers: ["GET", "HEAD"],
};

/** Names under which distribution counts the same requests. */
export const handlerNames: Readonly<Record<V2Path["kind"] | "invalid", string>> = {
  base: "base",
  catalog: "catalog",
  tags: "tags",
  manifest: "manifest",
  blob: "blob",
  uploads: "blob_upload",
  upload: "blob_upload_chunk",
  referrers: "referrers",
  invalid: "unknown",
};

export function splitTarget(target: string): { path: string; query: URLSearchParams } {
  const relative = target.replace(/^https?:\/\/[^/?#]*/i, "").split("#", 1)[0] ?? "";
  const mark = relative.indexOf("?");
  if (mark < 0) return { path: relative, query: new URLSearchParams() };
  return { path: relative.slice(0, mark), query: new URLSearchParams(relative.slice(mark + 1)) };
}

export function refuseEncoding(request: IncomingMessage): void {
  const encoding = request.headers["content-encoding"];
  if (encoding === undefined || encoding === "" || encoding.toLowerCase() === "identity") return;
  throw new HttpError("CONTENT_ENCODING", "Bodies are taken as they are: send this one without Content-Encoding.");
}

/** What is read by its digest is what it was, or was deleted: served from memory for a moment when the database is silent. */
export function isByDigest(path: V2Path, method: string): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  return path.kind === "blob" || (path.kind === "manifest" && "digest" in path.reference);
}

export function actionOf(kind: RepositoryPath["kind"], method: string): Action {
  if (kind === "uploads" || kind === "upload") return "push";
  if (method === "PUT") return "push";
  return method === "DELETE" ? "delete" : "pull";
}

/** The scope that a token needs for the request. `name`: of the repository, where that is not the path's. */
export function scopeOf(
  path: V2Path,
  method: string,
  { name, from }: { readonly name: string | undefined; readonly from: URLSearchParams },
): string | undefined {
  if (path.kind === "base") return undefined;
  if (path.kind === "catalog") return neededScope("catalog");
  const mounted = path.kind === "uploads" && from.has("mount") ? (from.get("from") ?? undefined) : undefined;
  return neededScope(actionOf(path.kind, method), name ?? path.name, mounted);
}

/** Requests with a blob in one direction or the other. */
export function isTransfer(kind: RepositoryPath["kind"], method: string): boolean {
  if (kind === "blob") return method === "GET";
  return kind === "uploads" || (kind === "upload" && (method === "PATCH" || method === "PUT"));
}

/** Requests that begin something new and always cost the database something. What was begun is let come to its end. */
export function beginsWork(kind: RepositoryPath["kind"], method: string): boolean {
  return kind === "uploads" || kind === "tags" || kind === "referrers" || (method === "DELETE" && kind !== "upload");
}

/** Whose share of what is limited a request takes. Of those who show no credentials, or some that nothing here names, each address has its own. */
export function senderOf({ identity, role }: { readonly identity: Identity; readonly role: Role }, address: string): string {
  return isNobody(role) ? `anonymous ${sourceOf(address)}` : describeIdentity(identity);
}

/** For whom a job pulls, who steps back behind people, and out of the statistics: the run of its token, or, of an administrator, the one that is named. */
export function runOf(role: Role, named: string | string[] | undefined): string | undefined {
  if (role.kind === "run") return role.run.id;
  return role.kind === "admin" && typeof named === "string" && /^[0-9a-f-]{36}$/.test(named) ? named : undefined;
}

export function asksAnew(cacheControl: string | undefined): boolean {
  return cacheControl !== undefined && /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(cacheControl);
}
