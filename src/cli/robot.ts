// wharfinger robot: users for machines, each with a password made by chance, in a Secret of the cluster or in a file of resources.

import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";

import { Command, InvalidArgumentError } from "commander";

import { clientOptions } from "../config/options/client.ts";
import { robotOptions } from "../config/options/robot.ts";
import { programName } from "../config/program-name.ts";
import { parseDuration } from "../domain/duration.ts";
import { pullSecret, robotEntry, robotLabel, robotManager, robotPassword, robotSecret, type SecretObject } from "../domain/robot-entry.ts";
import { parseRobots } from "../domain/robots.ts";
import { formatTime } from "../domain/retention/words.ts";
import { parseHost } from "../nodes/addresses.ts";
import type { ClusterValues } from "./cluster/open-cluster.ts";
import { clusterCommand, namespaceOf, option, repeatable } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, print, printResult, table, type OutputForm } from "./output.ts";
import type { RobotStore } from "./robot-store.ts";

interface PlaceValues extends ClusterValues {
  readonly secret: string;
  readonly file?: string;
  readonly apply?: boolean;
}

interface CreateValues extends PlaceValues {
  /** Undefined: never. */
  readonly expires: Date | "never";
  readonly pullSecret?: readonly string[];
  readonly host?: string;
  readonly passwordFile?: string;
}

const place = (name: string, description: string) =>
  clusterCommand(new Command(name).description(description)).addOption(option(robotOptions.secret)).addOption(option(robotOptions.file));

export function robotCommand(): Command {
  const create = place("create", "make a robot, and image pull secrets for it")
    .argument("<name>", "who it is in AccessPolicies: {kind: User, name: …}", parseName)
    .addOption(option(robotOptions.expires, parseExpiry))
    .addOption(repeatable(robotOptions.pullSecret, namespaceOf))
    .addOption(option(robotOptions.host, parseHost))
    .addOption(option(robotOptions.passwordFile))
    .addOption(option(robotOptions.apply))
    .action((name: string, values: CreateValues) => createRobot(name, values));
  const list = place("list", "the robots there are, and until when")
    .addOption(option(clientOptions.output))
    .action((values: PlaceValues & { output: OutputForm }) => inStore(values, (store) => listRobots(store, values.output)));
  const revoke = place("revoke", "take a robot away: its password counts no more")
    .argument("<name>", "its name", parseName)
    .action((name: string, values: PlaceValues) =>
      inStore(values, async (store) => {
        if (!(await store.read()).has(name)) throw new CommandError(`There is no robot ${name} in ${store.name}.`);
        await store.remove(name);
        note(`Robot ${name} is gone from ${store.name}.`);
        if (values.file === undefined)
          note(`Its pull secrets open nothing any more: \`kubectl get secrets -A -l ${robotLabel}=${name}\` lists them.`);
      }),
    );
  return new Command("robot")
    .description("users for machines, with passwords made by chance")
    .addCommand(create)
    .addCommand(list)
    .addCommand(revoke);
}

async function createRobot(name: string, values: CreateValues): Promise<void> {
  const { pullSecret: namespaces = [], host, passwordFile, file, apply } = values;
  if (namespaces.length > 0 && host === undefined)
    throw new CommandError("Pull secrets are for a host: give that of externalURL with --host, for example --host registry.example.com.");
  if (file !== undefined && namespaces.length > 0)
    throw new CommandError("--file is for a registry without a cluster, and --pull-secret for a cluster: give one of them.");
  const password = robotPassword(randomBytes(32));
  const expires = values.expires === "never" ? undefined : values.expires;
  const entry = robotEntry(password, expires);
  const pullSecrets = namespaces.map((namespace) => pullSecret(namespace, { robot: name, password, host: host ?? "" }));
  if (apply === true || file !== undefined)
    await inStore(values, async (store) => {
      if ((await store.read()).has(name))
        throw new CommandError(
          `There is a robot ${name} in ${store.name} already, and its password may be in use: \`${programName()} robot revoke ${name}\` takes it away.`,
        );
      await hand(password, values);
      await store.add(name, entry, pullSecrets);
      note(`Robot ${name} is in ${store.name}, ${until(expires)}.`);
      const home = await store.elsewhere();
      if (home !== undefined)
        note(
          `The operator there looks at namespace ${home} instead: unless the setting access.robots.secretRef names this Secret, the robot counts with \`-n ${home}\` alone.`,
        );
    });
  else {
    await hand(password, values);
    const { secret, namespace } = values;
    printForKubectl(
      name,
      [robotSecret({ name: secret, ...(namespace === undefined ? {} : { namespace }) }, name, entry), ...pullSecrets],
      await yaml(),
    );
    note(`Robot ${name}, ${until(expires)}, once that is applied:`);
    note(`  kubectl apply --server-side --field-manager=${robotManager(name)} -f -`);
  }
  if (passwordFile !== undefined) note(`Its password is in ${passwordFile}.`);
  note(`It may do what AccessPolicies say of {kind: User, name: ${name}}.`);
}

const yaml = async () => (await import("yaml")).stringify;

function printForKubectl(name: string, objects: readonly SecretObject[], stringify: (value: unknown) => string): void {
  print(
    [
      `# kubectl apply --server-side --field-manager=${robotManager(name)} -f -`,
      "# Without these flags, kubectl takes the robot that was applied before away.",
      objects.map((object) => stringify(object)).join("---\n"),
    ].join("\n"),
  );
}

/** Before anything is written: a password that nobody has seen opens nothing. */
async function hand(password: string, { passwordFile, pullSecret: namespaces = [] }: CreateValues): Promise<void> {
  if (passwordFile !== undefined)
    return writeFile(passwordFile, password, { mode: 0o600, flag: "wx" }).catch((cause: NodeJS.ErrnoException) => {
      throw new CommandError(
        cause.code === "EEXIST"
          ? `${passwordFile} (--password-file) is there: name a new file.`
          : `${passwordFile} (--password-file) cannot be written: ${cause.message}.`,
        { cause },
      );
    });
  // Who has pull secrets needs no password.
  if (namespaces.length === 0) note(`Its password, shown this once: ${password}`);
}

function until(expires: Date | undefined): string {
  return expires === undefined ? "without an end" : `until ${formatTime(expires.getTime())}`;
}

async function listRobots(store: RobotStore, output: OutputForm): Promise<void> {
  const { robots, problems } = parseRobots(await store.read(), new Map());
  const rows = [...robots].map(([name, { expires }]) => ({
    name,
    expires: expires === undefined ? null : new Date(expires).toISOString(),
  }));
  for (const { key, reason } of problems) note(`${key} is no robot: ${reason}`);
  await printResult(output, rows, (shown) =>
    shown.length === 0
      ? ""
      : table(
          ["ROBOT", "EXPIRES"],
          shown.map(({ name, expires }) => [name, expires === null ? "never" : describeEnd(Date.parse(expires))]),
        ),
  );
}

const describeEnd = (time: number) => `${formatTime(time)}${time <= Date.now() ? " (expired)" : ""}`;

async function inStore(values: PlaceValues, work: (store: RobotStore) => Promise<void>): Promise<void> {
  const { clusterStore, fileStore } = await import("./robot-store.ts");
  if (values.file !== undefined) return work(fileStore(values.file, values.secret));
  const { withCluster } = await import("./cluster/open-cluster.ts");
  return withCluster(values, (cluster) => work(clusterStore(cluster, values.secret)));
}

function parseName(text: string): string {
  if (!/^[a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?$/.test(text))
    throw new InvalidArgumentError("A robot's name has at most 63 of a-z, 0-9, - and ., and begins and ends with a letter or digit.");
  return text;
}

function parseExpiry(text: string): Date | "never" {
  if (text === "never") return text;
  const [, days] = /^(\d{1,4})d$/.exec(text) ?? [];
  const duration = days === undefined ? parseDuration(text) : Number(days) * 86_400_000;
  const time = duration === undefined && /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Date.now() + (duration ?? NaN);
  if (Number.isNaN(time) || time <= Date.now())
    throw new Error("Write days (90d), a duration (12h), a time to come (2027-01-01T00:00:00Z), or never.");
  return new Date(time);
}
