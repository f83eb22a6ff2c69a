// What every blob store must do when somebody else goes on with a write. An adapter's test file calls this as it does blob-store.conformance.ts.

import { randomBytes } from "node:crypto";

import { afterEach, describe, expect, test } from "vitest";

import { digestOf } from "../../domain/digest.ts";
import { BlobStoreError, type Announce, type BlobStore } from "./blob-store.ts";
import { announced, content, is, mebibyte, reread, type BlobStoreUnderTest } from "./store-under-test.conformance.ts";

/** What a session needs when it has two writers for a while: one that lost it, and does not know, and the one that goes on. */
export function takeoverConformance(adapter: string, open: () => Promise<BlobStoreUnderTest & { another(): Promise<BlobStore> }>): void {
  describe(`${adapter} is taken over`, () => {
    const opened: BlobStoreUnderTest[] = [];
    /** Two processes' stores. (The folder has one process: there both are one.) */
    const two = async () => {
      const one = await open();
      opened.push(one);
      return { first: one.store, second: await one.another() };
    };
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.dispose();
    });
    /** A write that was suspended after `bytes`. */
    const begun = async (store: BlobStore, bytes: Uint8Array, announce: Announce) => {
      const writer = await store.create(announce);
      await writer.write([bytes]);
      const suspended = await writer.suspend();
      await writer.close();
      return suspended;
    };
    const outcomeOf = (work: Promise<unknown>) =>
      work.then(
        () => "done",
        (error: unknown) => (error instanceof BlobStoreError ? error.code : error),
      );

    test.each([
      ["small", 5, 3],
      ["of parts", 9 * mebibyte, 8 * mebibyte],
      ["of parts and a tail", 9 * mebibyte, 3],
    ])("what was suspended by one process goes on in another, which has nothing in memory: %s", async (_, begin, more) => {
      const { first, second } = await two();
      const { announce } = announced();
      const [one, other] = [randomBytes(begin), randomBytes(more)];
      const writer = await second.resume(await begun(first, one, announce), announce);
      await writer.write([other]);
      const whole = Buffer.concat([one, other]);
      expect((await content(first, await writer.commit(digestOf(whole)))).equals(whole)).toBe(true);
    });

    describe.each([
      ["small", 5, 3],
      ["of parts", 9 * mebibyte, 8 * mebibyte],
    ])("a writer that wakes up late, %s,", (_, begin, more) => {
      /** The session after it was taken over: `late` has lost it, `goOn` is where the newer writer suspended it. */
      const takenOver = async () => {
        const { first, second } = await two();
        const { announce } = announced();
        const [start, theirs, ours] = [randomBytes(begin), randomBytes(more), randomBytes(more)];
        const suspended = await begun(first, start, announce);
        const late = await first.resume(suspended, announce);
        const next = await second.resume(suspended, announce);
        await next.write([ours]);
        const goOn = await next.suspend();
        await next.close();
        return { first, second, announce, suspended, start, late, theirs, goOn, whole: Buffer.concat([start, ours]) };
      };
      /** What the newer writer ends with: its bytes, or nothing; never anything else under this digest. */
      const end = async ({ second, announce, goOn, whole }: Awaited<ReturnType<typeof takenOver>>) => {
        const writer = await second.resume(goOn, announce);
        const key = await writer
          .commit(digestOf(whole))
          .catch((error: unknown) => (is("NotFound")(error) ? undefined : Promise.reject(error)));
        await writer.close();
        if (key === undefined) return { key, holds: "nothing" };
        return { key, holds: (await content(second, key)).equals(whole) ? "ours" : "theirs" };
      };
      const oursOrNothing = expect.stringMatching(/^(ours|nothing)$/) as string;

      test("writes", async () => {
        const world = await takenOver();
        await outcomeOf(world.late.write([world.theirs]));
        await world.late.close();
        expect(await end(world)).toMatchObject({ holds: oursOrNothing });
      });

      test("writes and suspends", async () => {
        const world = await takenOver();
        await outcomeOf(world.late.write([world.theirs]).then(() => world.late.suspend()));
        await world.late.close();
        expect(await end(world)).toMatchObject({ holds: oursOrNothing });
      });

      test("writes and commits", async () => {
        const world = await takenOver();
        const digest = digestOf(Buffer.concat([world.start, world.theirs]));
        await outcomeOf(world.late.write([world.theirs]).then(() => world.late.commit(digest)));
        await world.late.close();
        expect(await end(world)).toMatchObject({ holds: oursOrNothing });
      });

      test("commits after the newer one did", async () => {
        const world = await takenOver();
        const { key = "", holds } = await end(world);
        expect(holds).toBe("ours");
        const digest = digestOf(Buffer.concat([world.start, world.theirs]));
        await outcomeOf(world.late.write([world.theirs]).then(() => world.late.commit(digest)));
        await world.late.close();
        expect((await content(world.first, key)).equals(world.whole)).toBe(true);
      });

      test("resumes after the newer one committed", async () => {
        const world = await takenOver();
        await world.late.close();
        const { key = "", holds } = await end(world);
        expect(holds).toBe("ours");
        const again = world.first.resume(world.suspended, world.announce).then(async (late) => {
          await late.write([world.theirs]);
          await late.suspend();
          await late.close();
        });
        await outcomeOf(again);
        expect((await content(world.first, key)).equals(world.whole)).toBe(true);
      });

      test("commits while the bytes are read again", async () => {
        const world = await takenOver();
        const { second, announce, goOn, whole, late } = world;
        await outcomeOf(late.write([world.theirs]).then(() => late.commit(digestOf(Buffer.concat([world.start, world.theirs])))));
        await late.close();
        // What comes out is compared with the digest that the session has.
        const again = await reread(second, goOn, announce).catch((error: unknown) =>
          is("NotFound")(error) ? undefined : Promise.reject(error),
        );
        const more = Buffer.concat([whole, Buffer.from("and on")]);
        const ended = async () => {
          if (again === undefined || !again.bytes.equals(whole)) return "refused";
          const writer = await second.resume(again.suspended, announce);
          await writer.write([Buffer.from("and on")]);
          return (await content(second, await writer.commit(digestOf(more)))).equals(more) ? "ours" : "theirs";
        };
        expect(["ours", "refused"]).toContain(await ended());
      });
    });

    test("who was to read it again and died in the middle left what the next one needs", async () => {
      const { first, second } = await two();
      const { announce } = announced();
      const bytes = randomBytes(9 * mebibyte);
      const suspended = await begun(first, bytes, announce);
      await first.reread(suspended, announce);
      const again = await reread(second, suspended, announce);
      expect(again.bytes.equals(bytes)).toBe(true);
      const writer = await second.resume(again.suspended, announce);
      expect((await content(first, await writer.commit(digestOf(bytes)))).equals(bytes)).toBe(true);
    });
  });
}
