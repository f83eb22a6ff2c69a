// One S3 service for the project "s3"; each registry under test has a prefix of its own there (./own-registry.ts). Built before the first test:
// that takes longer than a test may.

import type { TestProject } from "vitest/node";

import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import { startS3Service } from "./s3-service.ts";

declare module "vitest" {
  interface ProvidedContext {
    s3Settings?: S3Settings;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const service = await startS3Service();
  project.provide("s3Settings", service.settings);
  return () => service.stop();
}
