// What the operator is made of before it leads: Kubernetes on one side, the registry on the other.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";

import { readAuthority } from "../../client/authority.ts";
import { ControlClient } from "../../client/control-client.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import { Delivery } from "../credentials/delivery.ts";
import { ClusterSource } from "../kube/cluster-source.ts";
import { CredentialsSecret, usualName as credentialsName } from "../kube/credentials-secret.ts";
import { Events, type EventDraft } from "../kube/events.ts";
import { KubeClient } from "../kube/kube-client.ts";
import { KubernetesJobs } from "../kube/kubernetes-jobs.ts";
import { groupVersion } from "../kube/objects.ts";
import { StatusWriter } from "../kube/status-writer.ts";
import type { WantedSecret } from "../credentials/secret-references.ts";
import { podSettings } from "../manifests/pod-settings.ts";
import type { OperatorOptions } from "./options.ts";

export interface Parts {
  /** That are watched, each once; the first is the administrators'. */
  readonly namespaces: readonly [string, ...string[]];
  /** Of this process. */
  readonly identity: string;
  readonly client: KubeClient;
  readonly control: ControlClient;
  readonly events: Events;
  readonly source: ClusterSource;
  readonly delivery: Delivery;
  readonly writer: StatusWriter;
  /** Undefined: inside of this process. */
  readonly jobs: KubernetesJobs | undefined;
  /** An event of a resource. */
  readonly say: (key: ResourceKey, event: EventDraft) => void;
}

/** `barred`: why a namespace's resources are not ours to look at; undefined: they are. */
export function partsOf(options: OperatorOptions, barred: (namespace: string) => string | undefined): Parts {
  const { access, settings, registry, logger } = options;
  const namespaces = watched(options);
  const [home] = namespaces;
  const identity = `${hostname()}_${randomUUID().slice(0, 8)}`;
  const client = new KubeClient(access);
  const control = new ControlClient(registry);
  const events = new Events({ client, instance: identity, logger });
  const source: ClusterSource = new ClusterSource({
    client,
    namespaces,
    alsoNamed: () => [
      ...[settings.record.remote?.secretRef, settings.record.signing?.secretRef].flatMap((named) =>
        named === undefined ? [] : [{ kind: "Secret" as const, ...named }],
      ),
      ...delivery.wanted,
    ],
    barred,
    logger,
  });
  const { users, robots } = settings.access;
  const signing = settings.auth.signingKeySecret;
  const logins: WantedSecret[] = [
    { kind: "Secret", ...users.secretRef, uses: (key) => key === "htpasswd" },
    { kind: "Secret", ...robots.secretRef, uses: () => true },
    ...(signing === undefined ? [] : [{ kind: "Secret" as const, ...signing, uses: (key: string) => key.endsWith(".pem") }]),
  ];
  const delivery: Delivery = new Delivery({
    store: new CredentialsSecret({ client, home, namespace: home, name: credentialsName, ...options.credentials }),
    source,
    // Where the users are somebody else's to look at, somebody else brings them.
    users: logins.filter(({ namespace }) => namespaces.includes(namespace)),
    precedence: {
      administrators: home,
      tenants: settings.tenants.map(({ namespace }) => namespace).filter((one) => namespaces.includes(one)),
    },
    record: () => control.record(),
    logger,
  });
  const writer = new StatusWriter({ client, events, object: (key) => source.object(key), logger });
  const say = (key: ResourceKey, event: EventDraft): void => {
    const { kind, namespace, name } = key;
    const uid = source.object(key)?.metadata.uid;
    void events.say({ apiVersion: groupVersion, kind, namespace, name, uid }, event);
  };
  const pods = podSettings(settings, { namespace: home, registry: registry.url, pullFrom: registry.pullFrom });
  const jobs =
    pods &&
    new KubernetesJobs({ client, control, namespace: home, settings: pods, authority: () => authorityIn(registry.caFile), say, logger });
  return { namespaces, identity, client, control, events, source, delivery, writer, jobs, say };
}

function watched({ access, namespaces }: OperatorOptions): readonly [string, ...string[]] {
  const [home = access.namespace, ...others] = namespaces;
  return [home, ...new Set(others.filter((namespace) => namespace !== home))];
}

/** As it is now: it may be another one for the next Pod. */
async function authorityIn(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : readAuthority(file);
}
