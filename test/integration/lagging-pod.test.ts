// A registry process that does not follow: it is waited for, with pauses that grow.

import { afterEach, beforeEach, expect, test } from "vitest";

import type { RecordState } from "../../src/api/control/record.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { World } from "../support/control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { adminToken } from "../support/registry.ts";

/** Notes when it is asked what is published, which every round does once. */
class NotingClient extends ControlClient {
  readonly asked: number[] = [];

  override record(): Promise<RecordState> {
    this.asked.push(performance.now());
    return super.record();
  }
}

let world: World;
let client: NotingClient;
beforeEach(async () => {
  world = await World.create();
  client = new NotingClient({ url: world.registry.url, token: adminToken });
});
afterEach(async () => {
  await world.close();
  await client.close();
});

test("rounds for a pod that lags behind come further and further apart", async () => {
  world.upstream("cgr");
  await world.start({ client, times: { lookAgainAfter: 600_000 } });
  // Heard until the end of the test, always with a revision that is long gone.
  await world.sql("INSERT INTO pods (id, revision, seen_at) VALUES ('lagging', 'gone', now() + interval '1 hour')");
  world.upstream("cgr", "  cache: {tagTTL: 1m}\n");
  await eventually(() => {
    const pauses = client.asked.slice(1).map((time, index) => time - (client.asked[index] ?? 0));
    // The third pause after the first round that found it behind. Rounds that do not pause are a fifth of a second apart.
    expect(Math.max(...pauses)).toBeGreaterThan(3_900);
  });
});
