import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import { expect, test } from "vitest";

import { imagesOfPod, imagesOfRevision, imagesOfTemplate } from "./pod-images.ts";

const status = (imageID: string): V1ContainerStatus => ({ name: "c", image: "", imageID, ready: true, restartCount: 0 });

test("a Pod names the images of all its containers and volumes, as written and as pulled", () => {
  const pod: V1Pod = {
    spec: {
      initContainers: [{ name: "i", image: "init" }],
      containers: [{ name: "c", image: "app:v1" }, { name: "none" }],
      ephemeralContainers: [{ name: "e", image: "debug" }],
      volumes: [{ name: "v", image: { reference: "models:1" } }, { name: "w" }],
    },
    status: {
      initContainerStatuses: [status("init@sha256:1")],
      containerStatuses: [status("app@sha256:2"), status("")],
      ephemeralContainerStatuses: [status("debug@sha256:3")],
    },
  };
  expect(imagesOfPod(pod)).toEqual(["init", "app:v1", "debug", "models:1", "init@sha256:1", "app@sha256:2", "debug@sha256:3"]);
  expect(imagesOfPod({})).toEqual([]);
});

test("what cannot name an image is left out, and the rest counts", () => {
  const odd = ["x".repeat(1_025), "a b", "a\u0000", "größe", "", "good:1"];
  expect(imagesOfTemplate({ spec: { containers: odd.map((image) => ({ name: "c", image })) } })).toEqual(["good:1"]);
  expect(imagesOfTemplate(undefined)).toEqual([]);
});

test("a revision names images wherever its owner keeps a pod's form", () => {
  const data = {
    spec: {
      template: {
        $patch: "replace",
        spec: {
          containers: [{ image: "app:v0" }, null, { image: 3 }],
          initContainers: [{ image: "init:v0" }],
          volumes: [{ image: { reference: "models:0" } }],
        },
      },
      roles: [{ podTemplate: { spec: { ephemeralContainers: [{ image: "debug:v0" }] } } }],
      containers: "no list",
    },
  };
  expect([...imagesOfRevision(data)].sort()).toEqual(["app:v0", "debug:v0", "init:v0", "models:0"]);
  expect(imagesOfRevision(undefined)).toEqual([]);
});
