// One request to /v2 after it was parsed and its caller is known: what the routes take.

import type { IncomingMessage } from "node:http";

import type { Access } from "../../../domain/access.ts";
import type { Identity } from "../../../domain/identity.ts";
import type { Granted } from "../../../domain/scope.ts";
import type { Role } from "../../../domain/control-access.ts";
import type { V2Path } from "../../../domain/v2-path.ts";
import type { Body } from "../../services/push/push-service.ts";
import type { Caller } from "../../services/pull/pull-service.ts";
import type { Repository } from "./repositories.ts";

export type PathOf<Kind extends V2Path["kind"]> = Extract<V2Path, { kind: Kind }>;

export interface Exchange<Path extends V2Path = V2Path> {
  readonly method: string;
  readonly path: Path;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly identity: Identity;
  readonly role: Role;
  /** What the access token that was shown opens; undefined: credentials themselves were shown, or none. */
  readonly granted: Granted | undefined;
  /** What the caller may. */
  readonly rights: Access;
  /** What this request may: the caller's rights, within what a token opens. */
  readonly access: Access;
  /** Whose share of limited things it takes: an identity, or an address that shows none. */
  readonly sender: string;
  /** Content-Length; undefined for a chunked body. */
  readonly length: number | undefined;
  /** Aborted when the connection ended before the answer. */
  gone(): AbortSignal;
  /** Calls `work` once, when the answer is sent or the connection lost. */
  whenOver(work: () => void): void;
  /** Taken once; nothing of the body is read before. `totalTime` as in request-body.ts. */
  body(limits?: { readonly totalTime: number }): Body;
}

/** A request about one repository, whose caller may do what it asks. */
export interface RepositoryExchange<Path extends V2Path = V2Path> extends Exchange<Path> {
  readonly repository: Repository;
  readonly caller: Caller;
  /** For the audit line, and the history that people read. */
  note(change: NotedChange): void;
}

/** What was pushed or deleted. */
export interface NotedChange {
  readonly event: "push" | "delete";
  readonly what: "manifest" | "blob";
  readonly reference: string;
  readonly digest?: string;
  readonly tags?: readonly string[];
}
