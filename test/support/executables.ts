// Programs of the machine.

import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

export async function onPath(name: string): Promise<string | undefined> {
  // Servers lie where ordinary users do not look.
  for (const folder of [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"]) {
    const file = join(folder, name);
    if (await isExecutable(file)) return file;
  }
  return undefined;
}

export function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
