{{/*
Texts of another form than files/forms.json wants, a line each: `dict "value" … "form" … "path" … "forms" …`. What is a map and what a text the schema
has made sure of.
*/}}
{{- define "wharfinger.malformed" -}}
{{- $root := . -}}
{{- if kindIs "string" .form -}}
  {{- $form := index .forms .form -}}
  {{- $instead := and (hasPrefix "instead of " .form) .value -}}
  {{- if or $instead (and (kindIs "string" .value) (not (regexMatch $form.pattern .value))) -}}
{{ .path }}: {{ toJson .value }} is {{ $form.say }}
{{ end -}}
{{- else if hasKey .form "[]" -}}
  {{- range $index, $item := .value -}}
    {{- include "wharfinger.malformed" (dict "value" $item "form" (index $root.form "[]") "path" (printf "%s[%d]" $root.path $index) "forms" $root.forms) -}}
  {{- end -}}
{{- else if kindIs "map" .value -}}
  {{- range $key, $form := .form -}}
    {{- if and (hasKey $root.value $key) (not (kindIs "invalid" (get $root.value $key))) -}}
      {{- $path := ternary $key (printf "%s.%s" $root.path $key) (eq $root.path "") -}}
      {{- include "wharfinger.malformed" (dict "value" (get $root.value $key) "form" $form "path" $path "forms" $root.forms) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
