{{/* Names and labels. */}}

{{- define "wharfinger.name" -}}
{{- default "wharfinger" .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters: what is appended has to fit into a label's 63. */}}
{{- define "wharfinger.fullname" -}}
{{- $name := include "wharfinger.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* `list $ component`: what selects its Pods. `kubectl wharfinger` and the operator look for these very values, whatever the names are. */}}
{{- define "wharfinger.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: wharfinger
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* `list $ component`. Ours count: by some of them Pods are selected. */}}
{{- define "wharfinger.labels" -}}
{{- $root := index . 0 -}}
{{- $ours := include "wharfinger.selector" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "wharfinger" -}}
{{- $_ := set $ours "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- toYaml (mergeOverwrite (deepCopy $root.Values.commonLabels) $ours) -}}
{{- end -}}

{{/* `dict "root" $ "component" … "name" … "namespace" … "annotations" {…} "labels" {…}`: the whole of `metadata`. */}}
{{- define "wharfinger.metadata" -}}
{{- $root := .root -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ default $root.Release.Namespace .namespace }}
{{- end }}
labels:
  {{- include "wharfinger.labels" (list $root .component) | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) (deepCopy $root.Values.commonAnnotations) (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "wharfinger.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* The administrators' namespace: the first that the operator watches, in which jobs run. */}}
{{- define "wharfinger.home" -}}
{{- if .Values.operator.namespaces -}}
{{- first .Values.operator.namespaces -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* Fixed: the Roles of deploy/ name it. */}}
{{- define "wharfinger.credentialsSecret" -}}wharfinger-credentials{{- end -}}
{{/* Fixed: `kubectl wharfinger` asks for its token by default. */}}
{{- define "wharfinger.administrator" -}}wharfinger-admin{{- end -}}

{{- define "wharfinger.externalURL" -}}
{{- if .Values.externalURL -}}
{{- .Values.externalURL | trimSuffix "/" -}}
{{- else if and (eq .Values.service.type "NodePort") .Values.service.nodePort -}}
{{- printf "%s://localhost:%d" (include "wharfinger.scheme" .) (int .Values.service.nodePort) -}}
{{- else -}}
{{- include "wharfinger.serviceURL" . -}}
{{- end -}}
{{- end -}}

{{/* What tokens are for: the host of externalURL as the program reads it, so without the port that goes without saying. */}}
{{- define "wharfinger.audience" -}}
{{- $url := urlParse (include "wharfinger.externalURL" .) -}}
{{- $host := lower $url.host -}}
{{- if eq $url.scheme "https" -}}
{{- trimSuffix ":443" $host -}}
{{- else -}}
{{- trimSuffix ":80" $host -}}
{{- end -}}
{{- end -}}

{{/* Without the port: for Ingress, HTTPRoute and certificate. */}}
{{- define "wharfinger.hostname" -}}
{{- regexReplaceAll ":[0-9]+$" (include "wharfinger.audience" .) "" -}}
{{- end -}}

{{/* Images, by the Service. */}}
{{- define "wharfinger.serviceURL" -}}
{{- printf "%s://%s.%s.svc:%d" (include "wharfinger.scheme" .) (include "wharfinger.fullname" .) .Release.Namespace (int .Values.service.port) -}}
{{- end -}}

{{/* The control API, by a Service that nothing outside of the cluster leads to. */}}
{{- define "wharfinger.controlURL" -}}
{{- printf "%s://%s-control.%s.svc:5001" (include "wharfinger.scheme" .) (include "wharfinger.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* Where the operator, jobs and the reporter find the control API. */}}
{{- define "wharfinger.registryURL" -}}
{{- if .Values.registryURL -}}
{{- .Values.registryURL | trimSuffix "/" -}}
{{- else -}}
{{- include "wharfinger.controlURL" . -}}
{{- end -}}
{{- end -}}

{{/* Where jobs find images; nothing: where the control API is. */}}
{{- define "wharfinger.pullURL" -}}
{{- if .Values.pullURL -}}
{{- .Values.pullURL | trimSuffix "/" -}}
{{- else if not .Values.registryURL -}}
{{- include "wharfinger.serviceURL" . -}}
{{- end -}}
{{- end -}}

{{/* `list $ port`: an address to listen on. */}}
{{- define "wharfinger.listen" -}}
{{- $host := (index . 0).Values.listenHost -}}
{{- ternary (printf "[%s]" $host) $host (contains ":" $host) -}}:{{ index . 1 }}
{{- end -}}

{{/* "true" where something outside of the cluster reaches the registry. */}}
{{- define "wharfinger.exposed" -}}
{{- if or .Values.ingress.enabled .Values.gateway.enabled (ne .Values.service.type "ClusterIP") -}}true{{- end -}}
{{- end -}}

{{/* Of the Service that nodes' ports lead to; nothing: none does. */}}
{{- define "wharfinger.trafficPolicy" -}}
{{- if ne .Values.service.type "ClusterIP" -}}{{ default "Local" .Values.service.externalTrafficPolicy }}{{- end -}}
{{- end -}}

{{/* "true" where the record is at a Git host. */}}
{{- define "wharfinger.hasRemote" -}}
{{- if dig "record" "remote" "url" "" .Values.settings -}}true{{- end -}}
{{- end -}}

{{- define "wharfinger.embedded" -}}
{{- if eq .Values.profile "embedded" -}}true{{- end -}}
{{- end -}}

{{- define "wharfinger.replicas" -}}
{{- if include "wharfinger.embedded" . -}}1
{{- else if .Values.registry.autoscaling.enabled -}}{{ int .Values.registry.autoscaling.minReplicas }}
{{- else if kindIs "invalid" .Values.registry.replicas -}}2
{{- else -}}{{ int .Values.registry.replicas }}
{{- end -}}
{{- end -}}
