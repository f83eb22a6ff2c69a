// wharfinger get: each resource with its conditions. In a cluster the API server has them, else the control plane that reports to the registry.

import { InvalidArgumentError, type Command } from "commander";

import type { ResourceView } from "../api/control/resources.ts";
import { programName } from "../config/program-name.ts";
import { kinds, type Kind } from "../domain/resource.ts";
import { ask, clientCommand, fullName, parseResourceName, type WrittenName } from "./command-line.ts";
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

interface Wanted {
  readonly kind: Kind | undefined;
  readonly name: WrittenName | undefined;
}

export function getCommand(): Command {
  return clientCommand("get", "show resources with their conditions")
    .argument("[kind]", `${kinds.join(", ")}, or ${Object.values(shortNames).join(", ")}; or kind/name, as for reconcile`, parseWanted)
    .argument("[name]", "name, or namespace/name", parseResourceName)
    .option("-A, --all-namespaces", "in a cluster: of every namespace, not of one", false)
    .addHelpText(
      "after",
      "\nIn a cluster its API server is asked, with the rights of the kubeconfig, and not the registry. Elsewhere files that were not taken over are" +
        "\ntold of on stderr, and in json and yaml as items of kind SourceProblem.",
    )
    .action(
      (first: Wanted | undefined, second: WrittenName | undefined, { allNamespaces }: { allNamespaces: boolean }, command: Command) => {
        if (first?.name !== undefined && second !== undefined)
          command.error(`error: The name is there twice: write \`${programName()} get ${first.kind} ${second.name}\`.`);
        const kind = first?.kind;
        const name = first?.name ?? second;
        return ask(
          command,
          async ({ control, namespace: home }, output) => {
            // No resource stands for them, so no condition tells of them.
            const { revision, controlPlane } = await control.record();
            const problems = controlPlane?.sourceProblems ?? [];
            for (const problem of problems) note(describeSourceProblem(problem));
            const found = chosen(await control.resources(), { kind, name }, home);
            const whole = [...found, ...problems.map((problem) => ({ kind: "SourceProblem", ...problem }))];
            await printResult(output, whole, (shown) => {
              const resources = shown.flatMap((item) => ("status" in item ? [item] : []));
              if (resources.length === 0 && controlPlane === undefined) return nothingHere(revision);
              if (controlPlane === undefined) note(withoutConditions);
              return render(resources, name);
            });
          },
          async (cluster, output) => {
            const { resourceViews } = await import("./cluster/resource-views.ts");
            const { saidByPods } = await import("./cluster/record-report.ts");
            const namespace = name?.namespace ?? cluster.namespace;
            const views = await resourceViews(cluster, {
              kinds: kind === undefined ? kinds : [kind],
              ...(allNamespaces ? {} : { namespace }),
            });
            const watched = views.length > 0 || allNamespaces ? undefined : await saidByPods({ ...cluster, namespace });
            if (watched !== undefined) note(`The operator of namespace ${namespace} looks at resources in ${watched}: \`-n ${watched}\`.`);
            const found = chosen(views, { kind, name }, namespace);
            const unseen = found.filter(({ status }) => status.conditions.length === 0);
            await printResult(output, found, (shown) => render(shown, name));
            if (unseen.length > 0) note(nobodyLooked(unseen));
          },
        );
      },
    );
}

/** `upstream`, or `upstream/chainguard` as kubectl and `reconcile` write it. */
function parseWanted(text: string): Wanted {
  const [kind = "", ...rest] = text.split("/");
  return { kind: parseKind(kind), name: rest.length === 0 ? undefined : parseResourceName(rest.join("/")) };
}

/** Throws CommandError when the one that is named is not there. */
function chosen(views: readonly ResourceView[], { kind, name }: Wanted, home: string): ResourceView[] {
  const wanted = name === undefined ? undefined : fullName(name, home);
  const found = views
    .filter((view) => kind === undefined || view.kind === kind)
    .filter((view) => wanted === undefined || `${view.namespace}/${view.name}` === wanted);
  if (wanted !== undefined && found.length === 0)
    throw new CommandError(`There is no ${kind} ${wanted}. \`${programName()} get ${kind}\` lists those there are.`);
  return found;
}

function render(views: readonly ResourceView[], name: WrittenName | undefined): string {
  return name === undefined ? renderResources(views) : views.map(renderResource).join("\n\n");
}

/** Where nobody watches, nobody can say so in a condition. */
function nobodyLooked([first, ...others]: readonly ResourceView[]): string {
  const names = `${first?.kind} ${first?.namespace}/${first?.name}${others.length === 0 ? "" : ` and ${others.length} more`}`;
  return (
    `No operator has looked at ${names} yet. Where that lasts, either none runs, or none watches the namespace:` +
    " the chart's operator watches those of operator.namespaces, by default the release's own."
  );
}

const withoutConditions =
  "This is what the registry serves, as it was recorded. No control plane reports to it: in a cluster the API server has the conditions (get with --kubeconfig).";

function nothingHere(revision: string | null): string {
  return `No control plane reports to this registry, and it serves no resources (${revision === null ? "no revision yet" : `revision ${revision}`}).`;
}

export function parseKind(text: string): Kind {
  const wanted = text.toLowerCase();
  const found = kinds.find((kind) => [kind, plural(kind), shortNames[kind]].some((name) => name.toLowerCase() === wanted));
  if (found === undefined) throw new InvalidArgumentError(`Kinds are ${kinds.join(", ")}.`);
  return found;
}

function plural(kind: Kind): string {
  return kind.endsWith("y") ? `${kind.slice(0, -1)}ies` : `${kind}s`;
}
