{{/* Parts of NetworkPolicies. */}}

{{/* `list $ port`: who may scrape. Probes come from the Pod's node, which is always let in. */}}
{{- define "wharfinger.scrapers" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.networkPolicy.metricsFrom -}}
- ports: [{port: {{ index $ 1 }}, protocol: TCP}]
  from:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* `list $ rules`: the types of a policy. Where rules are given for what goes out, nothing else does but names and this registry. */}}
{{- define "wharfinger.egress" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
policyTypes: [Ingress, Egress]
egress:
  - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  {{- if has "registry" $root.Values.components }}
  - ports: [{port: registry, protocol: TCP}, {port: control, protocol: TCP}]
    to:
      - podSelector:
          matchLabels:
            {{- include "wharfinger.selector" (list $root "registry") | nindent 12 }}
  {{- end }}
  {{- toYaml . | nindent 2 }}
{{- else -}}
policyTypes: [Ingress]
{{- end -}}
{{- end -}}
