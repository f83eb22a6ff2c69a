// One row for each type of evidence that a policy can name. To add one: a reader beside this file, a row here and in domain/evidence-types.ts,
// the type in the CRD.

import type { EvidenceType } from "../../../api/kinds.ts";
import { readApko } from "./apko.ts";
import { readCycloneDx } from "./cyclonedx.ts";
import type { Reader } from "./reading.ts";
import { readSlsa } from "./slsa.ts";
import { readSpdx } from "./spdx.ts";

export const readers: Readonly<Record<EvidenceType, Reader>> = {
  SLSAProvenance: readSlsa,
  SPDX: readSpdx,
  CycloneDX: readCycloneDx,
  Apko: readApko,
};
