// Kubernetes quantities of bytes: "100Gi", "1.5T", 1000000.

const suffixes: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
const form = /^([0-9]+(?:\.[0-9]+)?)(|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)$/;

/** Bytes (rounded up, as Kubernetes does), or undefined when it is not a quantity. */
export function parseQuantity(quantity: string | number): number | undefined {
  if (typeof quantity === "number") return Number.isInteger(quantity) && quantity >= 0 ? quantity : undefined;
  if (quantity.length > 20) return undefined;
  const match = form.exec(quantity);
  if (match === null) return undefined;
  return Math.ceil(Number(match[1]) * (suffixes[match[2] ?? ""] ?? 1));
}

/** Bytes of a quantity out of a valid spec. Throws a RangeError for anything else. */
export function bytesOf(quantity: string | number): number {
  const parsed = parseQuantity(quantity);
  if (parsed === undefined) throw new RangeError(`not a quantity: ${JSON.stringify(quantity)}`);
  return parsed;
}
