{{/* "true" where an object of the Prometheus operator is wanted and, by metrics.renderMode, rendered.
     Takes (dict "root" . "kind" "ServiceMonitor" "wanted" bool). */}}
{{- define "radar-audit.monitoring.renders" -}}
{{- if .wanted -}}
{{- $mode := .root.Values.metrics.renderMode -}}
{{- $api := printf "monitoring.coreos.com/v1/%s" .kind -}}
{{- if or (eq $mode "alwaysRender") (.root.Capabilities.APIVersions.Has $api) -}}
true
{{- else if eq $mode "failIfMissing" -}}
{{- fail (printf "metrics.renderMode is failIfMissing, and this cluster has no %s: install the Prometheus operator, or say skipIfMissing" $api) -}}
{{- end -}}
{{- end -}}
{{- end -}}
