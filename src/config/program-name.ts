// What this program is called by who calls it.

/** Set by the file that kubectl starts: one program, whose messages name it as it was called. */
const pluginVariable = "WHARFINGER_KUBECTL_PLUGIN";

/** Called as `kubectl wharfinger`. */
export function isKubectlPlugin(environment: NodeJS.ProcessEnv = process.env): boolean {
  return environment[pluginVariable] === "true";
}

/** In a Pod: whoever reads what this process says is elsewhere, with a kubeconfig. */
export function isInPod(environment: NodeJS.ProcessEnv = process.env): boolean {
  return environment["KUBERNETES_SERVICE_HOST"] !== undefined;
}

/** How a person calls this program, for messages. */
export function programName(environment: NodeJS.ProcessEnv = process.env): string {
  return isKubectlPlugin(environment) ? "kubectl wharfinger" : "npx wharfinger";
}
