// `gc`, `uploads`, `backup`: how long things are kept, and when they go.

import { Type } from "typebox";

import { bytes, duration, group, least, most, positive, type Range } from "./fields.ts";

/** Signs of life come every third of these times; a database that takes a breath must not cost an upload. */
const uploadTime: Range = { [least]: 1_000 };

/** Timers that are longer than 24.8 days end at once. */
const snapshotTime: Range = { [most]: 20 * 24 * 3_600_000 };

export const gc = group(
  {
    lease: positive(
      "How long a pushed blob or manifest stays although nothing refers to it: the time a client has between its first blob and its manifest.",
    ),
    trashFor: duration("How long a deleted manifest can be restored."),
    doomDelay: duration("How long bytes stay after the last reference to them went."),
    interval: positive("Pause of the collector when nothing is due."),
    uploadAbandonedAfter: duration("An upload whose writer was not heard for this long is given up.", uploadTime),
    brake: group(
      {
        percent: Type.Integer({
          minimum: 0,
          maximum: 100,
          description: "Of all stored bytes. 100: nothing ever pauses.",
        }),
        bytes: bytes("Less than this always goes."),
      },
      "Deleting for good pauses on every process when more than both would go within an hour, until `wharfinger gc resume`.",
    ),
  },
  "Garbage collection.",
);

export const uploads = group(
  {
    expireAfter: duration("An upload session that nobody writes to ends after this.", uploadTime),
    // Timers that are longer than 24.8 days end at once.
    stallTimeout: duration("A body that delivers nothing for this long is cut.", { ...uploadTime, [most]: 24 * 3_600_000 }),
  },
  "Uploads.",
);

export const backup = group(
  {
    interval: duration(
      "How often a snapshot of the metadata is written beside the blobs, and one before a migration; `0s`: never. While it is above zero `gc.doomDelay` is at least this and a day.",
      snapshotTime,
    ),
    keep: Type.Integer({ minimum: 1, maximum: 1_000, description: "How many snapshots are kept." }),
  },
  "Snapshots of the metadata.",
);
