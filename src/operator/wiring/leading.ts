// What a process does once it leads: it holds the record, hears what people say, runs jobs, and the control plane begins.

import { reasons } from "../../api/conditions.ts";
import type { Obstacles } from "../../observability/obstacles.ts";
import { recordOptionsOf } from "../../record/remote-options.ts";
import { openRecord, type GitRecord } from "../../record/repository.ts";
import { startControlPlane, type ControlPlane } from "../control-plane.ts";
import { eventOfCommit } from "../kube/commit-event.ts";
import { byAnnotation, installationName } from "../kube/installation.ts";
import { PersonsAnnotations } from "../kube/persons-annotations.ts";
import { RecordReporter } from "../kube/record-report.ts";
import { WaitingRemovalEvents } from "../kube/waiting-removals.ts";
import { shownStatus } from "../rounds/record-status.ts";
import { unseenLogins } from "../credentials/unseen-logins.ts";
import type { OperatorOptions } from "./options.ts";
import type { Parts } from "./parts.ts";

export interface Leading {
  /** Its id. */
  readonly installation: string;
  readonly options: OperatorOptions;
  readonly parts: Parts;
  /** What closes it again is added, in the order of the opening. */
  readonly closing: (() => Promise<void>)[];
  /** Called with the record when it is open, and with undefined before it is closed. */
  readonly hold: (record: GitRecord | undefined) => void;
  /** Where it is said that the record can be neither followed nor written. */
  readonly troubles: Obstacles;
}

/** Rejects with RecordError where there is no record to write to. */
export async function lead({ installation, options, parts, closing, hold, troubles }: Leading): Promise<ControlPlane> {
  const { settings, logger, record: folder } = options;
  const { client, control, events, source, delivery, writer, say, jobs: inPods } = parts;
  const [home] = parts.namespaces;
  const { remote } = settings.record;
  const record = await openRecord({ folder, installation, ...recordOptionsOf(settings.record, source), logger });
  closing.push(() => record.close());
  closing.push(async () => hold(undefined));
  hold(record);
  const word = new PersonsAnnotations({
    client,
    source,
    record,
    namespace: home,
    events,
    logger,
  });
  const howToSay = byAnnotation(home);
  const waiting = new WaitingRemovalEvents({ events, home, howToSay });
  const reporter = new RecordReporter({
    client,
    namespace: home,
    installation,
    seen: () => source.configMaps(home)?.items.get(installationName),
    remote,
    logger,
  });
  const users = settings.access.users.secretRef;
  const robots = settings.access.robots.secretRef;
  inPods?.start();
  closing.push(async () => inPods?.stop());
  for (const sentence of unseenLogins(settings, (namespace) => source.unwatched(namespace))) logger.info(sentence);
  if (inPods === undefined) logger.info("the setting jobs.image is not there: jobs run inside of this process, with its token");
  await delivery.start();
  closing.push(() => delivery.stop());
  const plane = await startControlPlane({
    source,
    secrets: source,
    delivery,
    users: { ...users, unseen: source.unwatched(users.namespace), robots: { ...robots, unseen: source.unwatched(robots.namespace) } },
    issuers: settings.auth.issuers,
    record,
    client: control,
    jobs: inPods ?? options.jobs,
    jobsAtOnce: settings.jobs.maxConcurrent,
    logger,
    announce: options.announce,
    tenants: settings.tenants,
    administrators: home,
    howToSay,
    committed: (id, commit) => {
      const told = eventOfCommit(id, commit);
      if (told !== undefined) say(told.key, told.event);
    },
    told: (views, status) => {
      writer.take(views);
      reporter.take(shownStatus(status));
      const { problem } = status;
      if (problem === undefined) troubles.overcome();
      else troubles.meet({ reason: record.problem?.code ?? reasons.notRecorded, message: `The record: ${problem}` });
      waiting.take(status.waitingRemovals);
      void word.hear();
    },
  });
  closing.push(async () => {
    await plane.stop();
    await writer.stop();
    await reporter.stop();
    await word.stop();
    await waiting.stop();
  });
  return plane;
}
