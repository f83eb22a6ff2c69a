// A process as a restricted Pod runs it: nothing can be written but a few folders, and its user is 65532, whose line in /etc/passwd is all there is
// of him. By a mount namespace and a user namespace which end with the process; the images' own test is a real node's (`npm run test:e2e`).

import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** As the image has him. */
const user = 65532;

/** What to start a process under. `scratch` becomes its folder for temporary files, and is writable too. Rejects when this machine does not let us. */
export async function underPod({ writable, scratch }: { readonly writable: readonly string[]; readonly scratch: string }) {
  const passwd = join(scratch, "passwd");
  await writeFile(passwd, `root:x:0:0::/:/bin/sh\nwharfinger:x:${user}:${user}::/tmp:/bin/false\n`);
  const folders = [...writable, scratch].map((folder) => `mount --bind '${folder}' '${folder}'`);
  const script = [
    "mount --make-rprivate /",
    ...folders,
    `mount --bind '${passwd}' /etc/passwd`,
    "mount -o remount,bind,ro /",
    `exec env TMPDIR='${scratch}' unshare --user --map-user=${user} --map-group=${user} -- "$@"`,
  ].join(" && ");
  const namespace = ["unshare", ...(process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"]), "--mount", "--"];
  const under = [...namespace, "sh", "-c", script, "sh"];
  await run(under[0]!, [...under.slice(1), "true"]).catch((error: Error) => {
    throw new Error(`This test needs namespaces for mounts and users: unshare and mount (package util-linux). ${error.message}`);
  });
  return under;
}
