// People's git at a record that is a folder of ours: what they fetch, and what they push, as one more who writes the branch.

import { failpoint } from "#failpoints";

import type { Logger } from "../observability/logger.ts";
import type { AllowedSigners } from "./allowed-signers.ts";
import type { Following } from "./following.ts";
import type { Git } from "./git.ts";
import { HttpBackend, type GitAnswer, type GitExchange } from "./http-backend.ts";
import { PushGate } from "./push-gate.ts";
import type { Reading } from "./reading.ts";

export interface ServedRecordOptions {
  readonly git: Git;
  readonly branch: string;
  readonly reading: Reading;
  readonly following: Following;
  readonly signers: AllowedSigners | undefined;
  readonly logger: Logger;
}

export class ServedRecord {
  readonly #options: ServedRecordOptions;
  readonly #backend: HttpBackend;
  readonly #gate: PushGate | undefined;

  constructor(options: ServedRecordOptions) {
    const { git, branch, signers } = options;
    this.#options = options;
    this.#backend = new HttpBackend(git, branch);
    this.#gate = signers === undefined ? undefined : new PushGate(signers);
  }

  /** Everything but a push. Rejects with RecordError GitFailed. */
  read(exchange: GitExchange): Promise<GitAnswer> {
    return this.#backend.answer(exchange);
  }

  /** A push, whole: nobody's slow connection holds up the record. The caller lets nobody else write meanwhile. Rejects with RecordError GitFailed. */
  async push(exchange: GitExchange): Promise<GitAnswer> {
    const { reading, following, logger } = this.#options;
    await reading.references.read();
    const from = reading.references.head;
    await following.begin(from);
    await failpoint("push.receiving");
    const answer = await this.#backend.whole(exchange, await this.#gate?.call(await reading.trusted()));
    await failpoint("push.received");
    await reading.references.read();
    const to = reading.references.head;
    if (to !== from) logger.info({ event: "record-push", from, to }, "an administrator's push moved the record's branch");
    return answer;
  }

  async close(): Promise<void> {
    await this.#gate?.close();
  }
}
