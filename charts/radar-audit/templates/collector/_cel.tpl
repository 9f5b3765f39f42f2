{{/*
Writes a value as CEL of an apply configuration: mappings are objects of the type that their place
has, lists are lists, and amounts of resources are plain maps. Takes (dict "type" "Object.spec" "value" v).
*/}}
{{- define "radar-audit.cel" -}}
{{- $type := .type -}}
{{- if kindIs "map" .value -}}
{{- $fields := list -}}
{{- $plain := or (hasSuffix ".resources.requests" $type) (hasSuffix ".resources.limits" $type) -}}
{{- range $key, $value := .value -}}
{{- $written := include "radar-audit.cel" (dict "type" (printf "%s.%s" $type $key) "value" $value) -}}
{{- $fields = append $fields (printf "%s: %s" (ternary ($key | quote) $key $plain) $written) -}}
{{- end -}}
{{- ternary "" $type $plain -}}{ {{- join ", " $fields -}} }
{{- else if kindIs "slice" .value -}}
{{- $items := list -}}
{{- range .value -}}
{{- $items = append $items (include "radar-audit.cel" (dict "type" $type "value" .)) -}}
{{- end -}}
[{{ join ", " $items }}]
{{- else if kindIs "string" .value -}}
{{ .value | quote }}
{{- else if kindIs "bool" .value -}}
{{ .value }}
{{- else -}}
{{ .value | int64 }}
{{- end -}}
{{- end -}}
