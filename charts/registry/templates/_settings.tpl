{{/*
The settings of the installation: what the chart knows, and over it what values say. Lists of both stand one after the other. Keys come out sorted, so
the same values are the same text.
*/}}
{{- define "wharfinger.settings" -}}
{{- $home := include "wharfinger.home" . -}}
{{- $full := include "wharfinger.fullname" . -}}
{{- $given := deepCopy .Values.settings -}}
{{- $made := dict "externalURL" (include "wharfinger.externalURL" .) -}}

{{- $issuers := dig "auth" "issuers" (list) $given -}}
{{- $named := list -}}
{{- range $issuers -}}{{- $named = append $named .name -}}{{- end -}}
{{- if not (has "in-cluster" $named) -}}{{- $issuers = prepend $issuers (dict "name" "in-cluster") -}}{{- end -}}

{{- $admins := dig "access" "admins" (list) $given -}}
{{- if .Values.administrator.enabled -}}
{{- $admins = prepend $admins (dict "kind" "ServiceAccount" "namespace" .Release.Namespace "name" (include "wharfinger.administrator" .)) -}}
{{- end -}}
{{/* `null` takes the chart's default away: the program has the same one. */}}
{{- $users := dict "secretRef" (dict "namespace" $home) -}}
{{- with .Values.users.existingSecret -}}{{- $_ := set $users.secretRef "name" . -}}{{- end -}}
{{- $robots := dict "secretRef" (dict "namespace" $home) -}}
{{- with .Values.robots.existingSecret -}}{{- $_ := set $robots.secretRef "name" . -}}{{- end -}}
{{- $access := dict "users" $users "robots" $robots -}}
{{- if has "operator" .Values.components -}}
{{- $_ := set $access "operator" (dict "namespace" .Release.Namespace "name" (printf "%s-operator" $full)) -}}
{{- $_ := set $access "jobs" (dict "namespace" $home "name" (printf "%s-jobs" $full)) -}}
{{- $secrets := list -}}
{{- range .Values.imagePullSecrets -}}{{- $secrets = append $secrets .name -}}{{- end -}}
{{- $_ := set $made "jobs" (dict "image" (include "wharfinger.image" .) "imagePullPolicy" .Values.image.pullPolicy "imagePullSecrets" $secrets) -}}
{{- end -}}
{{/* A public host must not become the world's proxy. */}}
{{- $_ := set $access "anonymousPull" (ternary "None" "PublicUpstreams" (eq (include "wharfinger.exposed" .) "true")) -}}
{{- $_ := set $made "access" $access -}}

{{- $clusters := dig "clusters" (list) $given -}}
{{- if has "report" .Values.components -}}
{{- $reporter := dict "namespace" .Release.Namespace "name" (printf "%s-reporter" $full) -}}
{{- $clusters = prepend $clusters (dict "name" .Values.reporter.cluster "reporter" $reporter) -}}
{{- end -}}

{{- if not (include "wharfinger.embedded" .) -}}
{{- $database := dict -}}
{{- with .Values.database.existingSecret -}}
{{- if and .name .urlKey -}}
{{- $_ := set $database "urlFile" "/etc/wharfinger/database/url" -}}
{{- else if .name -}}
{{- $_ := set $database "passwordFile" "/etc/wharfinger/database/password" -}}
{{- end -}}
{{- end -}}
{{- if .Values.database.caSecret.name -}}
{{- $_ := set $database "tls" (dict "mode" "VerifyFull" "caFile" "/etc/wharfinger/database-ca/ca.crt") -}}
{{- end -}}
{{- $_ := set $made "database" $database -}}
{{- $_ := set $made "spool" (dict "folder" "/var/spool/wharfinger") -}}
{{/*
Endpoints take a second or two to forget a Pod; a load balancer that chooses among nodes forgets one when its probes have failed (8 s × 3, 10 s × 3). A large
layer takes minutes, and its Pod waits only where there is one.
*/}}
{{- $balanced := and (eq .Values.service.type "LoadBalancer") (eq (include "wharfinger.trafficPolicy" .) "Local") -}}
{{- $_ := set $made "stop" (dict "delay" (ternary "30s" "5s" $balanced) "grace" "5m") -}}
{{- if .Values.storage.s3.existingSecret.name -}}
{{- $files := dict "accessKeyIdFile" "/etc/wharfinger/s3/access-key-id" "secretAccessKeyFile" "/etc/wharfinger/s3/secret-access-key" -}}
{{- $_ := set $made "storage" (dict "s3" $files) -}}
{{- end -}}
{{- end -}}

{{- if and (include "wharfinger.hasRemote" .) .Values.record.existingSecret -}}
{{- $_ := set $made "record" (dict "remote" (dict "secretRef" (dict "namespace" $home "name" .Values.record.existingSecret))) -}}
{{- end -}}

{{- with .Values.signingKeys.existingSecret -}}
{{- $_ := set $made "auth" (dict "signingKeySecret" (dict "namespace" $home "name" .)) -}}
{{- end -}}

{{- $all := mergeOverwrite $made $given -}}
{{- $_ := set $all "auth" (mergeOverwrite (dig "auth" (dict) $all) (dict "issuers" $issuers)) -}}
{{- $_ := set $all.access "admins" $admins -}}
{{- $_ := set $all "clusters" $clusters -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Other settings are another ConfigMap: a Pod goes on with those it was made for, and a rollback brings back those of then. */}}
{{- define "wharfinger.settingsName" -}}
{{- printf "%s-settings-%s" (include "wharfinger.fullname" .) (include "wharfinger.settings" . | sha256sum | trunc 10) -}}
{{- end -}}

{{/* A duration of the settings, whole seconds and upwards. */}}
{{- define "wharfinger.seconds" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $sum = addf $sum (mulf (float64 (trimSuffix $unit .)) (get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) $unit)) -}}
{{- end -}}
{{- ceil $sum -}}
{{- end -}}
