// How slowly a blob may come that nobody reads. Bytes that drip never run into the idle timeout: an upstream could hold its slot, and the job
// or the copy that waits for the blob, for as long as it likes. Who reads decides for himself how long he waits.

export interface Pace {
  /** The least that must come in `every` milliseconds. */
  readonly bytes: number;
  readonly every: number;
}

/** 1 KiB/s, averaged so that a pause is not taken for the pace. */
const slowest: Pace = { bytes: 300 * 1024, every: 300_000 };

/** Calls `onSlow` whenever fewer bytes came than `pace` says. Call the result at the end. */
export function watchPace(received: () => number, onSlow: (reason: string) => void, pace = slowest): () => void {
  let before = received();
  const timer = setInterval(() => {
    const now = received();
    if (now - before < pace.bytes) onSlow(`upstream sent ${now - before} bytes in ${pace.every / 1000} s, and nobody reads them`);
    before = now;
  }, pace.every).unref();
  return () => clearInterval(timer);
}
