// Where only commits of allowed signers are followed, a push that brings another one is refused in git's own form: on the branch it would stop what
// comes after it. It is the same judgement as AllowedSigners', in which a commit that comes by another way, or past this gate, stays unfollowed.

import { chmod } from "node:fs/promises";
import { join } from "node:path";

import type { AllowedSigners } from "./allowed-signers.ts";
import type { GitCall } from "./git.ts";
import { PrivateFolder } from "./private-folder.ts";

/** githooks(5), pre-receive: the commits are here, and no reference names them yet. It ends with 1: nothing of the push is taken. */
const preReceive = `#!/bin/sh
while read -r old new _; do
  case $new in *[!0]*) ;; *) continue ;; esac
  verdicts=$(git log --topo-order --reverse --format='%G? %H' $WHARFINGER_WALK --end-of-options "$new" $WHARFINGER_TRUSTED) || exit 1
  while read -r verdict id; do
    case $verdict in G | '') continue ;; esac
    echo "Commit $id has no good SSH signature by a key of record.verify.allowedSigners: nothing was taken." >&2
    echo "Sign what you push: git -c gpg.format=ssh -c user.signingKey=KEYFILE rebase --no-ff -S $old" >&2
    exit 1
  done <<EOF
$verdicts
EOF
done
`;

export class PushGate {
  readonly #signers: AllowedSigners;
  readonly #folder = new PrivateFolder();

  constructor(signers: AllowedSigners) {
    this.#signers = signers;
  }

  /** With what git receives a push. `trusted`: commits that are, with all below them, whoever signed them. */
  async call(trusted: readonly string[]): Promise<Required<Pick<GitCall, "configuration" | "env">>> {
    const folder = await this.#folder.write({ "pre-receive": preReceive });
    await chmod(join(folder, "pre-receive"), 0o700);
    return {
      configuration: [...(await this.#signers.configuration()), `core.hooksPath=${folder}`],
      env: {
        WHARFINGER_TRUSTED: trusted.map((commit) => `^${commit}`).join(" "),
        WHARFINGER_WALK: trusted.length === 0 ? "--no-walk" : "",
      },
    };
  }

  close(): Promise<void> {
    return this.#folder.close();
  }
}
