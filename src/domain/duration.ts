// Durations as resources write them: Go's form without signs, of hours, minutes, seconds and milliseconds ("1h30m", "1.5s").

const unitMilliseconds: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
const whole = /^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$/;
const part = /([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)/g;

/** Milliseconds (rounded), or undefined when `text` is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 32 || !whole.test(text)) return undefined;
  const sum = [...text.matchAll(part)].reduce((total, [, count, unit]) => total + Number(count) * (unitMilliseconds[unit ?? ""] ?? 0), 0);
  return Math.round(sum);
}

/** Milliseconds of a duration out of a valid spec. Throws a RangeError for anything else. */
export function milliseconds(text: string): number {
  const parsed = parseDuration(text);
  if (parsed === undefined) throw new RangeError(`not a duration: ${JSON.stringify(text.slice(0, 64))}`);
  return parsed;
}

/** The shortest exact way to write it: 5400000 → "1h30m", 0 → "0s". */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms);
  let text = "";
  for (const [unit, size] of Object.entries(unitMilliseconds)) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text === "" ? "0s" : text;
}
