{{/* Where nodes reach the registry: an address, for they resolve no name of a Service. "" where it is not fixed. */}}
{{- define "wharfinger.mirrorAddress" -}}
{{- if .Values.nodes.address -}}
{{- .Values.nodes.address | trimSuffix "/" -}}
{{- else if and .Values.service.clusterIP (ne .Values.service.clusterIP "None") -}}
{{- $host := ternary (printf "[%s]" .Values.service.clusterIP) .Values.service.clusterIP (contains ":" .Values.service.clusterIP) -}}
{{- printf "%s://%s:%d" (urlParse (include "wharfinger.serviceURL" .)).scheme $host (int .Values.service.port) -}}
{{- end -}}
{{- end -}}
