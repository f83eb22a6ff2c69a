// The one place where logins with passwords wait, from when they come until their answer: for the pause that failures cost, and for the check.

import { setTimeout as sleep } from "node:timers/promises";

import { ServiceError } from "../../services/errors.ts";
import { LoginPlaces, type LoginAttempt, type PlaceLimits } from "./login-places.ts";

/** More logins than these wait for nothing, or for others to wait in vain. */
export const loginPlaces: PlaceLimits = {
  all: 96,
  ofOneSource: 48,
  failing: 32,
  ofOneFailingSource: 8,
  unknown: 48,
  ofOneUnknownNetwork: 32,
};

/** Seconds until a place may be free: after the longest pause, or after some checks. */
const [afterPauses, afterChecks] = [8, 2];

export class LoginQueue {
  readonly #limits: PlaceLimits;
  readonly #places: LoginPlaces;

  constructor(limits: PlaceLimits = loginPlaces) {
    this.#limits = limits;
    this.#places = new LoginPlaces(limits);
  }

  /**
   * Runs `check` after `pause` milliseconds. Rejects with ServiceError TOOMANYREQUESTS (a source that failed) or UNAVAILABLE when there is no place. A source
   * that never failed pauses for the failures of others with its name while half of the places are free, and is checked at once where they are not.
   */
  wait<T>(attempt: LoginAttempt, pause: number, check: () => Promise<T>): Promise<T> {
    const spared = !attempt.failing && this.#places.taken >= this.#limits.all / 2;
    return this.#places.within(
      attempt,
      async () => {
        if (pause > 0 && !spared) await sleep(pause, undefined, { ref: false });
        return check();
      },
      () => {
        if (attempt.failing)
          throw new ServiceError("TOOMANYREQUESTS", "Too many failed logins. Try again later.", { retryAfter: afterPauses });
        throw new ServiceError("UNAVAILABLE", "Too many logins at once. Try again in a moment.", { retryAfter: afterChecks });
      },
    );
  }
}
