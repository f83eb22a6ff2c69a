// What the registry serves by: the published revision, and the resources in it.

import { PublishRequest, RecordState } from "../../../api/control/record.ts";
import { ResourceView } from "../../../api/control/resources.ts";
import { list, megabyte, withBody, type ControlRoute } from "./route.ts";

export const recordRoutes: readonly ControlRoute[] = [
  {
    method: "GET",
    path: "record",
    summary: "The published revision, and each pod's",
    who: "operator",
    answer: RecordState,
    handle: (_, { record }) => record.state(),
  },
  withBody({
    method: "PUT",
    path: "record",
    summary: "Publish a revision on the base it names; 409 when another one is published",
    who: "operator",
    body: PublishRequest,
    bodyLimit: 64 * megabyte,
    answer: RecordState,
    handle: ({ body, caller }, { record }) => record.publish(body, caller),
  }),
  {
    method: "GET",
    path: "resources",
    summary:
      "Each resource, as it was recorded; in standalone mode with its conditions, which in a cluster its status in the API server has",
    who: "admin",
    answer: list(ResourceView),
    handle: (_, { resources }) => resources(),
  },
];
