// What a kind adds to the skeleton.

import type { UpstreamView } from "../../api/control/contents.ts";
import type { Specs } from "../../api/kinds.ts";
import type { Kind, ResourceKey } from "../../domain/resource.ts";
import type { SecretSource } from "../../domain/secrets.ts";
import type { RecordView } from "../../record/record-view.ts";
import type { KnownIssuer } from "../credentials/known-issuers.ts";
import type { KnownUsers } from "../credentials/known-users.ts";
import type { CredentialsDelivery } from "../ports.ts";
import type { RunState } from "../runs/run-states.ts";
import type { OwnReport } from "./skeleton.ts";

export interface ReportContext {
  readonly view: RecordView;
  /** Whether its status says that a resource is Ready as it is now; false where nobody keeps that. */
  readonly wasReady: (key: ResourceKey) => boolean;
  /** What the registry says of its Upstreams, by namespace/name; undefined: not asked yet. */
  readonly upstreams: ReadonlyMap<string, UpstreamView> | undefined;
  /** Undefined: nothing of it is recorded. */
  recordedGeneration(key: ResourceKey): number | undefined;
  /** Whether a person's request to look at an Upstream still waits for what upstream says. */
  awaitsProbe(key: ResourceKey, requestedAt: string): boolean;
  /** Undefined where Secrets are somebody else's to look at. */
  readonly secrets: SecretSource | undefined;
  /** How they come to the registry's processes; undefined where these look for themselves. */
  readonly delivery: Pick<CredentialsDelivery, "stateOf"> | undefined;
  /** Who can log in; undefined where that is somebody else's to look at. */
  readonly users: KnownUsers | undefined;
  /** Of the setting `auth.issuers`; undefined where the settings are somebody else's. */
  readonly issuers: readonly KnownIssuer[] | undefined;
  /** The namespace to which it may be told who that is. */
  readonly administrators: string;
  runsOf(key: ResourceKey): RunState | undefined;
}

export interface Reconciler<K extends Kind> {
  readonly kind: K;
  report(key: ResourceKey, spec: Specs[K], context: ReportContext): OwnReport;
}
