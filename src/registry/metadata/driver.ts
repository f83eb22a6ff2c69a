// The driver's connection, which knows only what it is told. Without this `pg` takes from PG* of the environment whatever is not named (a port,
// TLS, an encoding, PGOPTIONS with its `synchronous_commit`), and several of these cannot be named as "none".

import { Client, type ClientConfig } from "pg";

export class DriverClient extends Client {
  /** `pg` reads the environment while it constructs, and only then. */
  constructor(config: ClientConfig) {
    const found = Object.entries(process.env).filter(([name]) => name.startsWith("PG"));
    for (const [name] of found) delete process.env[name];
    try {
      super(config);
    } finally {
      for (const [name, value] of found) process.env[name] = value;
    }
  }
}
