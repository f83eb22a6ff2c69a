// Who uses an installation under test.

import { hash } from "bcryptjs";

export const alice = { name: "alice", password: "correct horse battery staple" };

/** An htpasswd file of all of them. */
export async function htpasswd(): Promise<string> {
  return `${alice.name}:${await hash(alice.password, 4)}\n`;
}
