// Who asks, and as what: credentials to an identity, the identity to a role by the settings, a job's Pod to its run (design: access.md).

import type { Identity } from "../../domain/access.ts";
import { roleOf, type BoundRun, type Principals, type Role } from "../../domain/control-access.ts";
import type { Authenticator } from "./authentication.ts";

export interface CallersOptions {
  readonly authenticator: Authenticator;
  readonly principals: Principals;
  /** The run that a Pod acts for. ServiceError DENIED when it has none that is under way. */
  readonly runOf: (pod: string | undefined) => Promise<BoundRun>;
}

export interface Caller {
  readonly identity: Identity;
  readonly role: Role;
}

export class Callers {
  readonly #options: CallersOptions;

  constructor(options: CallersOptions) {
    this.#options = options;
  }

  /** Rejects with ServiceError UNAUTHORIZED (wrong credentials, also where none are needed) or DENIED (a job without a run). */
  async know(request: { readonly authorization: string | undefined; readonly source: string }): Promise<Caller> {
    const { authenticator, principals, runOf } = this.#options;
    const identity = await authenticator.authenticate(request);
    const role = roleOf(identity, principals);
    return { identity, role: role.kind === "job" ? { kind: "run", run: await runOf(role.pod) } : role };
  }

  hasUsers(): boolean {
    return this.#options.authenticator.hasUsers();
  }
}
