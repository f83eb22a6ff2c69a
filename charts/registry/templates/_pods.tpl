{{/* What Pods share. */}}

{{/* `dict "root" $ "component" … "values" .Values.<component> "annotations" {…}` */}}
{{- define "wharfinger.podMetadata" -}}
labels:
  {{- $labels := include "wharfinger.labels" (list .root .component) | fromYaml -}}
  {{/* They change with every release, and Pods need not. */}}
  {{- $labels = omit $labels "helm.sh/chart" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" -}}
  {{- toYaml (mergeOverwrite (deepCopy .values.podLabels) $labels) | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (deepCopy .values.podAnnotations) (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* `dict "root" $ "values" .Values.<component>`, and a `securityContext` of the Pod where it is not everybody's. */}}
{{- define "wharfinger.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
securityContext:
  {{- toYaml (default .root.Values.podSecurityContext .securityContext) | nindent 2 }}
{{- end -}}

{{/* `dict "root" $ "values" .Values.<component>`, and a `command` that is not the program's */}}
{{- define "wharfinger.container" -}}
image: {{ include "wharfinger.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: {{ default (list "wharfinger") .command | toJson }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* A token of the Pod's ServiceAccount for the registry and nobody else; read anew at each request. */}}
{{- define "wharfinger.tokenVolume" -}}
name: registry-token
projected:
  sources:
    - serviceAccountToken:
        path: token
        audience: {{ include "wharfinger.audience" . | quote }}
        expirationSeconds: 3600
{{- end -}}

{{- define "wharfinger.settingsVolume" -}}
name: settings
configMap:
  name: {{ include "wharfinger.settingsName" . }}
{{- end -}}

{{/* By which a program names its own Pod in events. */}}
{{- define "wharfinger.ownPod" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
{{- end -}}
