// Every place where a test can stop, slow, fail or kill a process: the steps of storage.md's protocol, named after them, and the
// operator's. A name says what has just happened, or with `…ing` what is about to; `….committed` is between COMMIT and the answer.

export const failpoints = [
  // U1: the database knows of a key of which the store has not heard.
  "U1.announced",
  // U2. `stored`: the bytes are whole in the store, and in the database nothing says so.
  "U2.stored",
  "U2.sessionEnded",
  "U2.live",
  "U2.blob",
  "U2.linked",
  "U2.committed",
  // U3: a lease was raised, or is long enough.
  "U3.claimed",
  "U3.mounting",
  "U3.mounted",
  "U3.mountCommitted",
  // M1.
  "M1.turn",
  "M1.looked",
  "M1.locked",
  "M1.upserted",
  "M1.children",
  "M1.tags",
  "M1.blobs",
  "M1.held",
  "M1.settled",
  "M1.committed",
  // D1: manifests, then tags alone, then a blob.
  "D1.locked",
  "D1.tagsLocked",
  "D1.judged",
  "D1.trashed",
  "D1.tagsGone",
  "D1.removed",
  "D1.settled",
  // More follow than go at once: noted in the same transaction; then a batch of them was committed.
  "D1.noted",
  "D1.followed",
  "D1.committed",
  "D1.blobLocked",
  "D1.blobLooked",
  "D1.blobGone",
  // Restore is M1 for each piece between these.
  "restore.found",
  "restore.turn",
  "restore.stored",
  "restore.committed",
  // A proposed version and all that it names.
  "pin.turn",
  "pin.locked",
  "pin.inserted",
  "pin.held",
  "pin.committed",
  "publish.turn",
  "publish.prefixes",
  "publish.locked",
  "publish.dropped",
  "publish.stored",
  "publish.released",
  "publish.settled",
  "publish.written",
  "publish.committed",
  // G1.
  "G1.taken",
  "G1.linksLocked",
  "G1.linksGone",
  "G1.blobsLocked",
  "G1.blobsGone",
  "G1.doomed",
  "G1.postponed",
  "G1.forgotten",
  "G1.committed",
  // G2. `deleted`: by the store, and the database has not heard of it.
  "G2.claimed",
  "G2.deleted",
  "G2.gone",
  "G2.retried",
  // G3.
  "G3.expired",
  "G3.abandoned",
  // A request on an upload session. `reshaped`: its bytes are about to be read again, in the shape that the row names. `suspended`: what the
  // store has is durable, and the row does not say so.
  "session.found",
  "session.interrupting",
  "session.taken",
  "session.reshaped",
  "session.resumed",
  "session.suspended",
  "session.advanced",
  "session.cancelling",
  "session.cancelled",
  // A key for access tokens: it is about to be stored; it is, and nobody here has read it.
  "keys.making",
  "keys.made",
  // The operator's way from a resource to its status. `decided`: what is to be committed, and nothing is written; `written`: commits that no
  // branch has; `pushed`: the remote has them, and nothing here says so; `moved`: the branch here too.
  "record.decided",
  "record.written",
  "record.pushed",
  "record.moved",
  // A person's push to a record that has no remote: it came whole; git reads it; git has done with it, and neither the person nor the record knows.
  "push.receiving",
  "push.started",
  "push.received",
  // HEAD is about to be published; the registry has it; it is noted beside the record.
  "record.publishing",
  "record.published",
  "record.marked",
  // One resource's: `written` is before the event that tells of it.
  "status.writing",
  "status.written",
] as const;

export type Failpoint = (typeof failpoints)[number];
