// How large the next part of a multipart upload is (S3: 5 MiB to 5 GiB, at most 10,000 parts).

const mebibyte = 1024 * 1024;

/** No part but the last may be smaller. */
export const smallestPart = 5 * mebibyte;
const firstParts = 8 * mebibyte;
const partsOfOneSize = 1000;

/**
 * Bytes of part `number` (1 to 10,000): 8 MiB for the first thousand, twice that for each further thousand, so that 7.8 TiB fit.
 * A function of the number alone: two pods agree, and services that want equal parts get them up to 7.8 GiB.
 */
export function partSize(number: number): number {
  return firstParts * 2 ** Math.floor((number - 1) / partsOfOneSize);
}

/** What one request may copy. */
const largestPart = 5 * 1024 * mebibyte;

/** Ranges, `end` exclusive, in which an object of `size` bytes (at least `smallestPart`) is copied: alike, so that none is too small. */
export function copyRanges(size: number): readonly { readonly start: number; readonly end: number }[] {
  const count = Math.ceil(size / largestPart);
  const at = (index: number) => Math.floor((size * index) / count);
  return Array.from({ length: count }, (_, index) => ({ start: at(index), end: at(index + 1) }));
}
