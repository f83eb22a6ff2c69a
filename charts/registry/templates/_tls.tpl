{{/* Certificates. */}}

{{/* "true" where the registry's Pods speak TLS themselves. */}}
{{- define "wharfinger.tls" -}}
{{- if has "registry" .Values.components -}}
{{- if kindIs "invalid" .Values.tls.enabled -}}
{{- if not (include "wharfinger.embedded" .) -}}true{{- end -}}
{{- else if .Values.tls.enabled -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "wharfinger.scheme" -}}
{{- ternary "https" "http" (eq (include "wharfinger.tls" .) "true") -}}
{{- end -}}

{{/* Of the Pods; nothing: they speak plain HTTP. */}}
{{- define "wharfinger.tlsSecret" -}}
{{- if include "wharfinger.tls" . -}}
{{- default (printf "%s-tls" (include "wharfinger.fullname" .)) .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* Of the Ingress, where clients arrive: its own, else that of the Pods. */}}
{{- define "wharfinger.ingressSecret" -}}
{{- if .Values.ingress.tls.existingSecret -}}
{{- .Values.ingress.tls.existingSecret -}}
{{- else if .Values.ingress.tls.certManager.issuerRef.name -}}
{{- include "wharfinger.fullname" . }}-ingress-tls
{{- else -}}
{{- include "wharfinger.tlsSecret" . -}}
{{- end -}}
{{- end -}}

{{/* With the authority by which the operator, jobs and the reporter know the registry; nothing: they know those that Node knows. */}}
{{- define "wharfinger.caSecret" -}}
{{- if .Values.tls.caSecret.key -}}
{{- default (include "wharfinger.tlsSecret" .) .Values.tls.caSecret.name -}}
{{- end -}}
{{- end -}}

{{- define "wharfinger.caVolume" -}}
name: registry-ca
secret:
  secretName: {{ include "wharfinger.caSecret" . }}
  items: [{key: {{ .Values.tls.caSecret.key | quote }}, path: ca.crt}]
{{- end -}}

{{/* `dict "root" $ "name" … "issuerRef" … "dnsNames" … "ipAddresses" …`: a Certificate of cert-manager, and its Secret of the same name. */}}
{{- define "wharfinger.certificate" -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "wharfinger.metadata" (dict "root" .root "component" "registry" "name" .name) | nindent 2 }}
spec:
  secretName: {{ .name }}
  {{- with .dnsNames }}
  dnsNames:
    {{- toYaml (uniq .) | nindent 4 }}
  {{- end }}
  {{- with .ipAddresses }}
  ipAddresses:
    {{- toYaml (uniq .) | nindent 4 }}
  {{- end }}
  usages: [server auth]
  privateKey: {rotationPolicy: Always}
  issuerRef:
    {{- toYaml .issuerRef | nindent 4 }}
{{- end -}}
