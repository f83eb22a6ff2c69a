// wharfinger get: each resource with its conditions, since there is no API server to ask here.

import { InvalidArgumentError, type Command } from "commander";

import { kinds, type Kind } from "../domain/resource.ts";
import { ask, clientCommand, parseResourceName } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult } from "./output.ts";
import { describeSourceProblem } from "./render/source-problem.ts";
import { renderResource, renderResources } from "./render/resources.ts";

/** As in the resource definitions. */
const shortNames: Readonly<Record<Kind, string>> = {
  Upstream: "upst",
  TagPolicy: "tagpol",
  RetentionPolicy: "retpol",
  AccessPolicy: "accpol",
};

export function getCommand(): Command {
  return clientCommand("get", "show resources with their conditions")
    .argument("[kind]", `${kinds.join(", ")}, or ${Object.values(shortNames).join(", ")}`, parseKind)
    .argument("[name]", "namespace/name", parseResourceName)
    .addHelpText("after", "\nFiles that were not taken over are told of on stderr, and in json and yaml as items of kind SourceProblem.")
    .action((kind: Kind | undefined, name: string | undefined, _options: unknown, command: Command) =>
      ask(command, async ({ control }, output) => {
        // No resource stands for them, so no condition tells of them.
        const { revision, controlPlane } = await control.record();
        const problems = controlPlane?.sourceProblems ?? [];
        for (const problem of problems) note(describeSourceProblem(problem));
        const found = (await control.resources())
          .filter((view) => kind === undefined || view.kind === kind)
          .filter((view) => name === undefined || `${view.namespace}/${view.name}` === name);
        if (name !== undefined && found.length === 0)
          throw new CommandError(`There is no ${kind} ${name}. \`npx wharfinger get ${kind}\` lists those there are.`);
        const whole = [...found, ...problems.map((problem) => ({ kind: "SourceProblem", ...problem }))];
        await printResult(output, whole, (shown) => {
          const resources = shown.flatMap((item) => ("status" in item ? [item] : []));
          if (resources.length === 0 && controlPlane === undefined) return unknownHere(revision);
          return name === undefined ? renderResources(resources) : resources.map(renderResource).join("\n\n");
        });
      }),
    );
}

/** Conditions are what a control plane reports. */
function unknownHere(revision: string | null): string {
  return `No control plane reports to this registry, so nothing is known of resources. It serves ${revision === null ? "no revision yet" : `revision ${revision}`}.`;
}

function parseKind(text: string): Kind {
  const wanted = text.toLowerCase();
  const found = kinds.find((kind) => [kind, plural(kind), shortNames[kind]].some((name) => name.toLowerCase() === wanted));
  if (found === undefined) throw new InvalidArgumentError(`Kinds are ${kinds.join(", ")}.`);
  return found;
}

function plural(kind: Kind): string {
  return kind.endsWith("y") ? `${kind.slice(0, -1)}ies` : `${kind}s`;
}
