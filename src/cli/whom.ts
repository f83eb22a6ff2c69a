// Whom a subcommand asks. What was written on the command line counts before the environment, and either before what is found.

/** As commander tells where a value comes from. */
type Source = string | undefined;

const ofRegistry = ["registry", "data"] as const;
const ofCluster = ["kubeconfig", "context", "namespace", "pods", "podPort", "serviceAccount", "audience"] as const;
export type WayName = (typeof ofRegistry)[number] | (typeof ofCluster)[number];

/** `direct`: an address or a data folder; `found`: the process of the data folder if one runs, else the cluster if there is one. */
export type Whom = "direct" | "cluster" | "found";

/** Throws an Error when the command line names two. */
export function whom(sourceOf: (name: WayName) => Source, { plugin }: { readonly plugin: boolean }): Whom {
  for (const source of ["cli", "env"]) {
    const [direct, cluster] = [ofRegistry, ofCluster].map((names) => names.filter((name) => sourceOf(name) === source));
    const [one, other] = [direct?.[0], cluster?.[0]];
    if (one !== undefined && other !== undefined && source === "cli")
      throw new Error(`--${one} names a registry, ${flagOf(other)} one in a cluster: give one of them.`);
    if (one !== undefined) return "direct";
    if (other !== undefined) return "cluster";
  }
  return plugin ? "cluster" : "found";
}

function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
