// Who gets room in the one Secret that the registry's processes mount, where not all that is wanted fits (design: operator, "Upstream").

/** Bytes in all: a Secret has at most a MiB, and who owns which key of it is stored beside it. */
export const mostBytes = 900 * 1024;

export interface Precedence {
  /** The Secrets of users and robots, where they are gathered too: without them nobody logs in. */
  readonly users: readonly { readonly namespace: string; readonly name: string }[];
  readonly administrators: string;
  /** Namespaces that have a grant. */
  readonly tenants: readonly string[];
}

export interface Demand {
  readonly namespace: string;
  readonly name: string;
  readonly bytes: number;
  readonly since: Since;
}

/** It was there before and did not grow; it grew; it is new. */
export type Since = "before" | "grown" | "new";
const inTime: readonly Since[] = ["before", "grown", "new"];

export interface Room<D extends Demand> {
  readonly fit: readonly D[];
  readonly left: readonly D[];
  /** Bytes that each tenant has whatever others want. */
  readonly sure: number;
}

/**
 * The users come first, then the administrators' namespace. Half of what they leave is kept in equal parts for the tenants, so that whoever has less than
 * his part never waits for others; the other half is for those who come first. Whoever was there and did not grow keeps his place before
 * whoever grew, and he before who is new; among equals the namespace that has least is next.
 */
export function giveRoom<D extends Demand>(demands: readonly D[], { users, administrators, tenants }: Precedence): Room<D> {
  const isUsers = (demand: D) => users.some(({ namespace, name }) => namespace === demand.namespace && name === demand.name);
  const ofTenants = (demand: D) => !isUsers(demand) && demand.namespace !== administrators;
  const [fit, left]: [D[], D[]] = [[], []];
  let room = mostBytes;
  for (const demand of [...demands.filter(isUsers), ...inOrder(demands.filter((one) => !isUsers(one) && !ofTenants(one)))]) {
    if (demand.bytes > room) left.push(demand);
    else {
      fit.push(demand);
      room -= demand.bytes;
    }
  }
  const others = demands.filter(ofTenants);
  const shares = new Shares(
    room,
    [...tenants, ...others.map(({ namespace }) => namespace)].filter((one) => one !== administrators),
  );
  for (const since of inTime) {
    const equals = Map.groupBy(inOrder(others.filter((demand) => demand.since === since)), ({ namespace }) => namespace);
    for (const demand of shares.inTurns(equals)) (shares.take(demand) ? fit : left).push(demand);
  }
  return { fit, left, sure: shares.sure };
}

class Shares {
  readonly sure: number;
  readonly #taken: Map<string, number>;
  /** What nobody has, and is kept for nobody. */
  #free: number;

  constructor(room: number, namespaces: readonly string[]) {
    this.#taken = new Map(namespaces.map((namespace) => [namespace, 0]));
    // In whole KiB: it is said to tenants, who need not know how long an administrator's password is.
    this.sure = this.#taken.size === 0 ? 0 : 1024 * Math.floor(room / 2 / this.#taken.size / 1024);
    this.#free = room - this.sure * this.#taken.size;
  }

  /** Whether there is room; then it is taken. */
  take({ namespace, bytes }: Demand): boolean {
    const before = this.#has(namespace);
    const more = Math.max(this.sure, before + bytes) - Math.max(this.sure, before);
    if (more > this.#free) return false;
    this.#free -= more;
    this.#taken.set(namespace, before + bytes);
    return true;
  }

  /** Next is always the namespace that would have least with its next one, by what was taken meanwhile. */
  *inTurns<D extends Demand>(queues: ReadonlyMap<string, readonly D[]>): Generator<D> {
    const waiting = [...queues].map(([namespace, queue]) => ({ namespace, queue, at: 0 }));
    for (;;) {
      const turns = waiting.flatMap((one) => {
        const demand = one.queue[one.at];
        return demand === undefined ? [] : [{ one, demand, would: this.#has(one.namespace) + demand.bytes }];
      });
      const [first] = turns;
      if (first === undefined) return;
      const next = turns.reduce((least, turn) => (turn.would < least.would ? turn : least), first);
      next.one.at++;
      yield next.demand;
    }
  }

  #has(namespace: string): number {
    return this.#taken.get(namespace) ?? 0;
  }
}

function inOrder<D extends Demand>(demands: readonly D[]): readonly D[] {
  const id = ({ namespace, name }: D) => `${namespace}/${name}`;
  return demands.toSorted((a, b) => inTime.indexOf(a.since) - inTime.indexOf(b.since) || (id(a) < id(b) ? -1 : 1));
}
