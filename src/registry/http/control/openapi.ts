// The OpenAPI document of the control API, from the rows that fastify serves: docs/reference/openapi.json is its text.

import type { TSchema } from "typebox";

import { ErrorReply } from "../../../api/control/protocol.ts";
import type { Right } from "../../../domain/control-access.ts";
import { controlRoutes } from "./control-routes.ts";
import type { ControlRoute } from "./route.ts";
import { longestWait } from "./control.ts";

const json = (schema: TSchema) => ({ "application/json": { schema } });

/** Deterministic: the same routes, the same document. */
export function openApiDocument(): Readonly<Record<string, unknown>> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of controlRoutes) {
    const path = `/api/v1/${route.path}`;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Wharfinger control API",
      version: "v1",
      description: "What operator, jobs, reporters, the command line and pages ask of the registry. `{repository}` may contain slashes.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      securitySchemes: {
        admin: { type: "http", scheme: "bearer", description: "The installation's admin token" },
        serviceAccount: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description: "A ServiceAccount token for this registry alone",
        },
        user: { type: "http", scheme: "basic", description: "A user of the htpasswd Secret" },
      },
      responses: { Refused: { description: "Refused; the code and the message say why", content: json(ErrorReply) } },
    },
    security: [{ admin: [] }, { serviceAccount: [] }, { user: [] }],
  };
}

const callers: Readonly<Record<Right, string>> = {
  admin: "For administrators.",
  reader: "For everybody who shows who he is, as far as he may pull.",
  operator: "For the operator and administrators.",
  run: "For the run itself, the operator and administrators.",
  proposal: "For runs whose policy it is about, the operator and administrators.",
  "tag-sync": "For tag-sync runs, each for its own policy, and administrators.",
  prune: "For prune runs, each for its own policy, and administrators.",
  reporter: "For the reporter of the cluster and administrators.",
};

function operation(route: ControlRoute): Readonly<Record<string, unknown>> {
  const parameters = [...pathParameters(route.path), ...queryParameters(route), ...(route.waits === true ? [waitParameter] : [])];
  const type = route.lines === true ? "application/x-ndjson" : "application/json";
  return {
    operationId: operationId(route),
    summary: route.summary,
    description: callers[route.who],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: { required: true, content: json(route.body) } }),
    responses: {
      "200": { description: route.lines === true ? "One document a line" : "Done", content: { [type]: { schema: route.answer } } },
      default: { $ref: "#/components/responses/Refused" },
    },
  };
}

const waitParameter = {
  name: "wait",
  in: "query",
  required: false,
  description: `Hold the answer back until there is something to say, at most this many seconds (${longestWait} at most)`,
  schema: { type: "integer", minimum: 0 },
};

function pathParameters(path: string): readonly object[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: "path", required: true, schema: { type: "string" } }));
}

function queryParameters({ query = {} }: ControlRoute): readonly object[] {
  return Object.entries(query).map(([name, { description, ...schema }]: [string, TSchema & { description?: string }]) => ({
    name,
    in: "query",
    required: false,
    ...(description === undefined ? {} : { description }),
    schema,
  }));
}

/** `POST retention/{namespace}/{name}/plan` → `postRetentionPlan`. */
function operationId({ method, path }: ControlRoute): string {
  const words = path.split("/").map((part) => (part.startsWith("{") ? (part === "{id}" ? "one" : "") : part));
  return [method.toLowerCase(), ...words.filter((word) => word !== "").map((word) => word.charAt(0).toUpperCase() + word.slice(1))].join(
    "",
  );
}
