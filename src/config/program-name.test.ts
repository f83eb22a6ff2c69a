import { expect, test } from "vitest";

import { isInPod, programName } from "./program-name.ts";

test("messages name the program as it is called", () => {
  expect(programName({})).toBe("npx wharfinger");
  expect(programName({ WHARFINGER_KUBECTL_PLUGIN: "true" })).toBe("kubectl wharfinger");
});

test("a process in a Pod knows it by what the kubelet gives every container", () => {
  expect(isInPod({ KUBERNETES_SERVICE_HOST: "10.0.0.1" })).toBe(true);
  expect(isInPod({})).toBe(false);
});
