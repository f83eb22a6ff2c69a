// What a route of /api/v1 is, and what its request carries.

import { Type, type Static, type TSchema } from "typebox";

import type { Right, Role, Subject } from "../../../domain/control-access.ts";
import type { Write } from "../../services/upkeep/writability.ts";
import type { ControlServices, Patience } from "./control-ports.ts";

export interface ControlRequest<Body = unknown> {
  /** Parts of the path, decoded. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Of the route's `query`, checked. */
  readonly query: Readonly<Record<string, string>>;
  readonly body: Body;
  /** `admin`, `user:ci`, `run:<id>`: for history and logs. */
  readonly caller: string;
  readonly role: Role;
  /** Whether the caller may pull the repository, by its canonical name. */
  readonly mayPull: (repository: string) => boolean;
  /** One name for one repository; undefined when nobody serves it. */
  readonly nameOf: (repository: string) => string | undefined;
  readonly patience: Patience;
}

export interface ControlRoute {
  readonly method: "GET" | "POST" | "PUT" | "PATCH";
  /** OpenAPI form, below /api/v1/. A parameter at the end may span segments. */
  readonly path: string;
  readonly summary: string;
  /** What its caller must be. */
  readonly who: Right;
  /** What a request is about, for rights that reach no further than what is the caller's own. */
  readonly about?: (request: ControlRequest) => Subject;
  readonly body?: TSchema;
  readonly bodyLimit?: number;
  /** Parameters of the query, by name; none is required. */
  readonly query?: Readonly<Record<string, TSchema>>;
  /** Takes `?wait=<seconds>`. */
  readonly waits?: boolean;
  /** What it does to the database; by default a GET nothing, others add to it. */
  readonly writes?: Write | "Nothing";
  readonly answer: TSchema;
  /** The answer is an iteration of lines, not one document. */
  readonly lines?: boolean;
  readonly handle: (request: ControlRequest, services: ControlServices) => unknown;
}

type TypedRoute<Body extends TSchema> = Omit<ControlRoute, "body" | "about" | "handle"> & {
  readonly body: Body;
  readonly about?: (request: ControlRequest<Static<Body>>) => Subject;
  readonly handle: (request: ControlRequest<Static<Body>>, services: ControlServices) => unknown;
};

/** A route with a body: fastify has checked it against the schema when `handle` is called. */
export function withBody<Body extends TSchema>({ about, handle, ...route }: TypedRoute<Body>): ControlRoute {
  const typed = (request: ControlRequest) => request as ControlRequest<Static<Body>>;
  return {
    ...route,
    ...(about === undefined ? {} : { about: (request: ControlRequest) => about(typed(request)) }),
    handle: (request, services) => handle(typed(request), services),
  };
}

export const megabyte = 1024 * 1024;
export const list = (schema: TSchema) => Type.Array(schema);

export function parameter(request: ControlRequest, name: string): string {
  return request.parameters[name] ?? "";
}
