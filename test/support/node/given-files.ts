// Which cluster a run is in; which files of test/node run in a cluster that somebody gave, and why the others do not.

/** Not KUBECONFIG, which stands in many a shell, and leads to whatever cluster was worked with last. */
export const variable = "WHARFINGER_TEST_KUBECONFIG";
export const isGiven = () => process.env[variable] !== undefined;

export const forGivenCluster = ["story", "in-the-way"];

export const forOwnNode: Readonly<Record<string, string>> = {
  "chart-nodes": "flags of the kubelet, and a DaemonSet that writes files of its node",
  "credential-provider": "flags of the kubelet",
  daemonset: "files of containerd",
  enclosure: "what keeps our node apart from this machine",
  hosts: "files of containerd",
  image: "a container of containerd without a cluster",
  "image-builds": "no cluster",
  install: "a name with TLS that nodes have to know, and volumes of the node",
  kind: "files of containerd; kind's own clusters have `npm run test:e2e:kind`",
  node: "our node itself",
  "pulls-go-on": "containerd is asked itself, processes are killed, and all images and Pods of the node are deleted",
  uninstall: "all objects of the cluster are compared, and nobody else may change any meanwhile",
};
