// Which clusters `npm run test:e2e` takes from somebody, before anything is changed there.

import { expect, test } from "vitest";

import { openGiven } from "../support/node/given-cluster.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

const here = "127.0.0.1";
const image = "registry.example.com/wharfinger:1";

test.each([
  ["no image", {}, "WHARFINGER_TEST_IMAGE is not set"],
  ["an image without tag and digest", { WHARFINGER_TEST_IMAGE: "a:5000/b", WHARFINGER_TEST_ADDRESS: here }, "write it with its tag"],
  ["no address", { WHARFINGER_TEST_IMAGE: image }, "WHARFINGER_TEST_ADDRESS is not set"],
  [
    "another machine's address",
    { WHARFINGER_TEST_IMAGE: image, WHARFINGER_TEST_ADDRESS: "198.51.100.7" },
    "198.51.100.7, and this machine has",
  ],
  ["a file that is not there", { WHARFINGER_TEST_IMAGE: image, WHARFINGER_TEST_ADDRESS: here }, "there is no such file"],
])("%s: refused", async (_case, given, words) => {
  await expect(openGiven({ WHARFINGER_TEST_KUBECONFIG: "/nowhere", ...given })).rejects.toThrow(words);
});

test("a cluster with Wharfinger's definitions is refused: they would go at the end", async () => {
  const { kubeconfig } = await sharedApiServer();
  const given = { WHARFINGER_TEST_KUBECONFIG: kubeconfig, WHARFINGER_TEST_IMAGE: image, WHARFINGER_TEST_ADDRESS: here };
  await expect(openGiven(given)).rejects.toThrow("There is a Wharfinger in this cluster already");
});
