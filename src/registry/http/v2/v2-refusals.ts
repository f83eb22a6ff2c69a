// Why a request to /v2 is not answered, in words that say nothing of what its caller may not see.

import type { Action } from "../../../domain/access.ts";
import type { V2PathProblem } from "../../../domain/v2-path.ts";
import { ServiceError } from "../../services/errors.ts";
import type { Answer } from "../answer.ts";
import { BearerRefused } from "../login/bearer-refused.ts";
import { HttpError } from "../errors.ts";
import type { Exchange } from "./exchange.ts";
import { strangerRefused } from "../login/strangers.ts";
import { referrersAnswer } from "./pull-routes.ts";

export function problem({ code, message }: V2PathProblem): Error {
  return code === "NOT_FOUND" ? new HttpError("ENDPOINT_UNKNOWN", message) : new ServiceError(code, message);
}

/** Nobody learns from a refusal whether the repository exists. */
export function refusal({ identity, role, granted, path, query }: Exchange, action: Action): Answer {
  if (role.kind === "stranger") throw strangerRefused(identity);
  if (identity.kind === "anonymous") {
    const message = `This needs a user who may ${action} here. Log in first.`;
    throw granted === undefined ? new ServiceError("UNAUTHORIZED", message) : new BearerRefused("insufficient_scope", message);
  }
  if (action !== "pull") throw new ServiceError("DENIED", `An AccessPolicy must allow you to ${action} here; none does.`);
  if (path.kind === "referrers") return referrersAnswer([], { filtered: query.has("artifactType") });
  throw unknownName();
}

/** Its bearer may do this; the token was not asked for it. */
export function insufficient(what: string): BearerRefused {
  return new BearerRefused("insufficient_scope", `This token was not given to ${what}: ask for one with the scope of the challenge.`);
}

export function unknownName(): ServiceError {
  return new ServiceError("NAME_UNKNOWN", "There is no such repository here, or you may not see it.");
}
