// What is here, where it comes from, and what changed.

import { ActivityEntry } from "../../../api/control/activity.ts";
import { RepositoryView, StorageUsage, UpstreamView } from "../../../api/control/contents.ts";
import { list, parameter, type ControlRoute } from "./route.ts";

export const contentRoutes: readonly ControlRoute[] = [
  {
    method: "GET",
    path: "repositories",
    summary: "The repositories that the caller may pull",
    who: "reader",
    answer: list(RepositoryView),
    handle: ({ mayPull }, { repositories }) => repositories(mayPull),
  },
  {
    method: "GET",
    path: "usage",
    summary: "Bytes of all repositories: stored, shared, and what comes free",
    who: "admin",
    answer: StorageUsage,
    handle: (_, { usage }) => usage(),
  },
  {
    method: "GET",
    path: "upstreams",
    summary: "The registries behind this one, and how they are",
    who: "operator",
    answer: list(UpstreamView),
    handle: (_, { upstreams }) => upstreams(),
  },
  {
    method: "POST",
    path: "upstreams/{namespace}/{name}/probe",
    writes: "Nothing",
    summary: "Ask a registry behind this one whether it answers, and accepts the login; one question for all who ask at the same time",
    who: "operator",
    answer: UpstreamView,
    handle: (request, { probe }) => probe(`${parameter(request, "namespace")}/${parameter(request, "name")}`),
  },
  {
    method: "GET",
    path: "activity",
    summary: "What changed, newest first",
    who: "admin",
    answer: list(ActivityEntry),
    handle: (_, { activity }) => activity(),
  },
];
