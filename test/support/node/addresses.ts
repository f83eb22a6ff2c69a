// The addresses of a node and its cluster. Each node has a number of its own, so that several can run on one machine.

export interface Addresses {
  /** The machine's end of the cable to the node: there the API server and the servers under test listen for nodes and pods. */
  readonly machine: string;
  /** The node's own: hostPorts and NodePorts are here. */
  readonly node: string;
  /** CIDR. */
  readonly pods: string;
  /** CIDR. */
  readonly services: string;
  /** That of the Service `kubernetes`: the first of `services`. */
  readonly kubernetes: string;
}

/** So many nodes can run on one machine. */
export const nodes = 32;

/** `number` from 0. The two ends of the cable are the two addresses of a /30. */
export function addressesOf(number: number): Addresses {
  return {
    machine: `10.253.${number}.1`,
    node: `10.253.${number}.2`,
    pods: `10.244.${number}.0/24`,
    services: `10.96.${number}.0/24`,
    kubernetes: `10.96.${number}.1`,
  };
}
