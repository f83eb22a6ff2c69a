// What the operator is started with.

import type { ListenAddress } from "../../config/listen.ts";
import type { Settings } from "../../config/settings.ts";
import type { Logger } from "../../observability/logger.ts";
import type { Announce } from "../../observability/obstacles.ts";
import type { ClusterAccess } from "../kube/credentials.ts";
import type { JobRunner } from "../ports.ts";

export interface OperatorOptions {
  readonly access: ClusterAccess;
  /** To watch; the first is the administrators'. Empty: that of the credentials. */
  readonly namespaces: readonly string[];
  readonly settings: Settings;
  /** The registry: its control API, and where its images are. */
  readonly registry: { readonly url: string; readonly pullFrom: string; readonly caFile?: string | undefined; readonly tokenFile: string };
  /** The Secret that the registry's processes mount; default: `wharfinger-credentials` in the first namespace. */
  readonly credentials?: { readonly namespace?: string; readonly name: string };
  /** Folder of the record. */
  readonly record: string;
  /** Runs jobs inside of this process: where the settings name no image for Pods. */
  readonly jobs: JobRunner;
  /** Probes and metrics. */
  readonly listen: ListenAddress;
  /** The record for people's git, where it has no remote. */
  readonly recordListen: ListenAddress;
  /** Events of the Pod that this runs in. */
  readonly announce?: Announce;
  readonly version: string;
  readonly logger: Logger;
}
