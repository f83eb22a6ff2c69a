// Where to listen: `host:port`, with an empty host for every address of the machine.

export interface ListenAddress {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

const form = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):([0-9]{1,5})$/;

/** Throws an Error that shows the right form. */
export function parseListen(text: string): ListenAddress {
  const match = form.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new Error("Write host:port, for example 127.0.0.1:5000, [::1]:5000, or 0.0.0.0:5000 for every address of this machine.");
  }
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "" ? "0.0.0.0" : host, port };
}

/** The URL under which a server on `address` is reached from this machine: `0.0.0.0` is an address to listen on, not to connect to. */
export function localUrl({ host, port }: ListenAddress): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
