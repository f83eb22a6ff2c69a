// Whether this process may write to the database now. Pulls go on either way.

import { formatBytes } from "../../../domain/bytes.ts";
import { freeBytesOf } from "../../../observability/free-bytes.ts";
import { ServiceError } from "../errors.ts";

/** `TakeAway`: it deletes, and so makes room. */
export type Write = "Add" | "TakeAway";

export interface Writability {
  /** What whoever wants to write is told; undefined: it may be. */
  refusal(write: Write): Promise<ServiceError | undefined>;
}

export const writable: Writability = { refusal: () => Promise.resolve(undefined) };

/** `--read-only`. */
export const readOnly: Writability = {
  refusal: () =>
    Promise.resolve(
      new ServiceError(
        "UNSUPPORTED",
        "This registry is read-only at the moment: pull as usual, and push, delete or change something later.",
      ),
    ),
};

/**
 * A database whose volume is full ends, and pulls with it, so writing ends before: what adds at the low-water mark, what takes away, which needs
 * some space first, at half of it. Space that comes back is seen by the next request.
 */
export function aboveLowWater({ folder, lowWaterBytes }: { readonly folder: string; readonly lowWaterBytes: number }): Writability {
  return {
    async refusal(write) {
      if (lowWaterBytes === 0) return undefined;
      const free = await freeBytesOf(folder);
      if (free >= (write === "Add" ? lowWaterBytes : lowWaterBytes / 2)) return undefined;
      return new ServiceError(
        "INSUFFICIENT_STORAGE",
        `The volume of the registry's database has ${formatBytes(free)} left, and nothing is written below ${formatBytes(lowWaterBytes)}; pulls go on. Free space there.`,
      );
    },
  };
}
