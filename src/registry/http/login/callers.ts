// Who asks, and as what: credentials to an identity, the identity to a role by the settings, a job's Pod to its run (design: access.md).

import { roleOf, type BoundRun, type Principals, type Role } from "../../../domain/control-access.ts";
import type { Access } from "../../../domain/access.ts";
import type { Identity } from "../../../domain/identity.ts";
import type { Authenticator, Login, Shown } from "./authentication.ts";
import { BearerRefused } from "./bearer-refused.ts";

export interface CallersOptions {
  readonly authenticator: Authenticator;
  readonly principals: Principals;
  readonly access: () => Access;
  /** Resolves when `access` is what a request must see that comes now, or as near as the database's state allows. */
  readonly confirm: () => Promise<void>;
  /** The run that a Pod acts for. ServiceError DENIED when it has none that is under way. */
  readonly runOf: (pod: string | undefined) => Promise<BoundRun>;
}

export interface Caller extends Shown {
  readonly role: Role;
}

interface Request {
  readonly authorization: string | undefined;
  readonly source: string;
}

export class Callers {
  readonly #options: CallersOptions;

  constructor(options: CallersOptions) {
    this.#options = options;
  }

  /**
   * By credentials themselves: an access token opens repositories and nothing else. Rejects with ServiceError UNAUTHORIZED (wrong credentials,
   * also where none are needed) or DENIED (a job without a run).
   */
  async know(request: Request): Promise<Caller> {
    const caller = await this.knowBearer(request);
    if (caller.granted === undefined) return caller;
    throw new BearerRefused("invalid_token", "An access token is for /v2/ alone: show the credentials that it was given for.");
  }

  /** By credentials or by an access token that was given for some. Rejects likewise. */
  async knowBearer(request: Request): Promise<Caller> {
    return this.#inRole(await this.#options.authenticator.authenticate(request));
  }

  /** By a name and a password that did not come as Basic. Rejects likewise. */
  async login(login: Login): Promise<Caller> {
    return this.#inRole(await this.#options.authenticator.login(login));
  }

  hasUsers(): boolean {
    return this.#options.authenticator.hasUsers();
  }

  async #inRole(shown: Shown): Promise<Caller> {
    const { principals, runOf } = this.#options;
    const role = roleOf(shown.identity, principals);
    if (role.kind === "job") return { ...shown, role: { kind: "run", run: await runOf(role.pod) } };
    if (role.kind === "user" && shown.identity.kind === "oidc" && !(await this.#isNamed(shown.identity)))
      return { ...shown, role: { kind: "stranger" } };
    return { ...shown, role };
  }

  /** A policy that was published just now may be the one that names him. */
  async #isNamed(identity: Extract<Identity, { kind: "oidc" }>): Promise<boolean> {
    const { access, confirm } = this.#options;
    const named = () => access().open || access().names(identity);
    if (named()) return true;
    await confirm();
    return named();
  }
}
