{{/* What the pods of collectors share. */}}

{{/* Variables; takes (dict "root" . "spoolBytes" n). */}}
{{- define "radar-audit.collector.env" -}}
- {name: RADAR_AUDIT_COLLECTOR_HUB_URL, value: {{ include "radar-audit.hub.url" .root | quote }}}
- {name: RADAR_AUDIT_COLLECTOR_TOKEN_FILE, value: /run/radar-audit/hub/token}
- {name: RADAR_AUDIT_COLLECTOR_RADAR_SERVICE_ACCOUNT, value: {{ include "radar-audit.radarAccount" .root | quote }}}
- {name: RADAR_AUDIT_COLLECTOR_IDENTITY, value: {{ .root.Values.collector.identity }}}
- {name: RADAR_AUDIT_COLLECTOR_DATA_DIR, value: /var/lib/radar-audit}
- {name: RADAR_AUDIT_COLLECTOR_SPOOL_MAX_BYTES, value: {{ .spoolBytes | int64 | quote }}}
- {name: RADAR_AUDIT_COLLECTOR_PROBES_LISTEN, value: "0.0.0.0:9281"}
- {name: RADAR_AUDIT_COLLECTOR_LOG_LEVEL, value: {{ .root.Values.collector.logLevel }}}
{{- end -}}

{{/* An account without any right; its token is made for the hub alone. Takes root, component, name. */}}
{{- define "radar-audit.bareAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "radar-audit.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}
