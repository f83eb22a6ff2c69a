{{/* `dict "root" $ "component" … "name" … "values" …persistence`: a claim, unless one is given. */}}
{{- define "wharfinger.claim" -}}
{{- if not .values.existingClaim -}}
{{- $annotations := ternary (dict "helm.sh/resource-policy" "keep") (dict) .values.keep -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "wharfinger.metadata" (dict "root" .root "component" .component "name" .name "annotations" $annotations) | nindent 2 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .values.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests: {storage: {{ .values.size }}}
{{- end -}}
{{- end -}}
