{{/*
`dict "root" $ "component" … "name" … "namespace" … "rules" <file of files/rules> "subjects" (list {…})`: a Role, and its binding where there are subjects.
Without a namespace it is a ClusterRole.
*/}}
{{- define "wharfinger.role" -}}
{{- $cluster := not .namespace -}}
{{- $metadata := include "wharfinger.metadata" (dict "root" .root "component" .component "name" .name "namespace" .namespace "cluster" $cluster) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "ClusterRole" "Role" $cluster }}
metadata:
  {{- $metadata | nindent 2 }}
rules:
  {{- .root.Files.Get (printf "files/rules/%s.yaml" .rules) | trim | nindent 2 }}
{{- with .subjects }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "ClusterRoleBinding" "RoleBinding" $cluster }}
metadata:
  {{- $metadata | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ ternary "ClusterRole" "Role" $cluster }}, name: {{ $.name }}}
subjects:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
