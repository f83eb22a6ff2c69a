import type { ControlPlaneStatus } from "../../api/control/record.ts";

/** `Not taken over: upstreams.yaml:12: what is wrong`. */
export function describeSourceProblem({ source, line, message }: ControlPlaneStatus["sourceProblems"][number]): string {
  return `Not taken over: ${line === undefined ? source : `${source}:${line}`}: ${message}`;
}
