// The predicate type behind each type of evidence that a TagPolicy can name: compared as a whole, never by prefix.

import type { Evidence } from "./ledger.ts";

export const predicateTypes: Readonly<Record<Evidence["type"], string>> = {
  SLSAProvenance: "https://slsa.dev/provenance/v1",
  SPDX: "https://spdx.dev/Document",
  CycloneDX: "https://cyclonedx.org/bom",
  Apko: "https://apko.dev/image-configuration",
};
