{{/* The hub's settings: variables, and the secrets that some of them name as files. */}}

{{/* Accounts that may report: Radar's, our own collectors', the test's, those of the values. */}}
{{- define "radar-audit.hub.collectors" -}}
{{- $fullname := include "radar-audit.fullname" . -}}
{{- $accounts := list (printf "%s/%s" .Values.collector.radar.namespace .Values.collector.radar.serviceAccountName) -}}
{{- if .Values.collector.webhook.enabled -}}
{{- $accounts = append $accounts (printf "%s/%s-collector" .Release.Namespace $fullname) -}}
{{- end -}}
{{- if .Values.collector.logTail.enabled -}}
{{- $accounts = append $accounts (printf "%s/%s-collector-log" .Release.Namespace $fullname) -}}
{{- end -}}
{{- if .Values.tests.enabled -}}
{{- $accounts = append $accounts (printf "%s/%s-test" .Release.Namespace $fullname) -}}
{{- end -}}
{{- concat $accounts .Values.hub.auth.kubernetesLogin.collectors | uniq | join "," -}}
{{- end -}}

{{- define "radar-audit.hub.operators" -}}
{{- $accounts := list -}}
{{- if .Values.operator.enabled -}}
{{- $accounts = append $accounts (printf "%s/%s" .Release.Namespace (include "radar-audit.operator.serviceAccount" .)) -}}
{{- end -}}
{{- concat $accounts .Values.hub.auth.kubernetesLogin.operators | uniq | join "," -}}
{{- end -}}

{{/*
The hub's secrets: file, the Secret that holds it, its key, the inline value. As JSON, for fromJson.
A secret is a file, not a variable: variables are seen by whoever may describe the process.
*/}}
{{- define "radar-audit.hub.secretTable" -}}
{{- $own := include "radar-audit.hub.secret" . -}}
{{- $rows := list -}}
{{- $hub := .Values.hub -}}
{{- $sources := list (dict "variable" "SECRETS_KEY" "file" "secrets-key" "at" $hub.secretsKey "inline" $hub.secretsKey.value) -}}
{{- if eq $hub.database.type "postgresql" -}}
{{- $sources = append $sources (dict "variable" "DATABASE_URL" "file" "database-url" "at" $hub.database.postgresql "inline" $hub.database.postgresql.url) -}}
{{- end -}}
{{- if $hub.auth.oidc.issuer -}}
{{- $sources = append $sources (dict "variable" "OIDC_CLIENT_SECRET" "file" "oidc-client-secret" "at" $hub.auth.oidc "inline" $hub.auth.oidc.clientSecret) -}}
{{- end -}}
{{- if $hub.smtp.host -}}
{{- $sources = append $sources (dict "variable" "SMTP_PASSWORD" "file" "smtp-password" "at" $hub.smtp "inline" $hub.smtp.password) -}}
{{- end -}}
{{- range $sources -}}
{{- if .at.existingSecret -}}
{{- $rows = append $rows (dict "variable" .variable "file" .file "secret" .at.existingSecret "key" .at.existingSecretKey) -}}
{{- else if .inline -}}
{{- $rows = append $rows (dict "variable" .variable "file" .file "secret" $own "key" .file "inline" .inline) -}}
{{- end -}}
{{- end -}}
{{- dict "rows" $rows | toJson -}}
{{- end -}}

{{/* Sources of the projected volume. */}}
{{- define "radar-audit.hub.secrets" -}}
{{- range (include "radar-audit.hub.secretTable" . | fromJson).rows }}
- secret:
    name: {{ .secret }}
    items: [{key: {{ .key | quote }}, path: {{ .file }}}]
{{- end }}
{{- end -}}

{{- define "radar-audit.hub.env" -}}
{{- $hub := .Values.hub -}}
{{- $login := $hub.auth.kubernetesLogin -}}
- {name: RADAR_AUDIT_HUB_DATA_DIR, value: /var/lib/radar-audit}
- {name: RADAR_AUDIT_HUB_LISTEN, value: "0.0.0.0:8080"}
- {name: RADAR_AUDIT_HUB_PROBES_LISTEN, value: "0.0.0.0:9280"}
- {name: RADAR_AUDIT_HUB_PUBLIC_URL, value: {{ include "radar-audit.hub.publicUrl" . | quote }}}
- {name: RADAR_AUDIT_HUB_LOG_LEVEL, value: {{ $hub.logLevel }}}
{{- with $hub.trustedProxies }}
- {name: RADAR_AUDIT_HUB_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- with $hub.notifications.allowedNetworks }}
- {name: RADAR_AUDIT_HUB_NOTIFY_ALLOWED_NETWORKS, value: {{ join "," . | quote }}}
{{- end }}
{{- if eq $hub.database.type "postgresql" }}
- {name: RADAR_AUDIT_HUB_DATABASE_POOL_SIZE, value: {{ $hub.database.poolSize | quote }}}
{{- end }}
{{- range (include "radar-audit.hub.secretTable" . | fromJson).rows }}
- {name: RADAR_AUDIT_HUB_{{ .variable }}_FILE, value: /etc/radar-audit/secrets/{{ .file }}}
{{- end }}
{{- with $hub.bootstrap }}
{{- if .enabled }}
- {name: RADAR_AUDIT_HUB_BOOTSTRAP_ORG_NAME, value: {{ .orgName | quote }}}
- {name: RADAR_AUDIT_HUB_BOOTSTRAP_ORG_ID, value: {{ .orgId | quote }}}
- {name: RADAR_AUDIT_HUB_BOOTSTRAP_OWNER_EMAIL, value: {{ .ownerEmail | quote }}}
- {name: RADAR_AUDIT_HUB_BOOTSTRAP_PLAN, value: {{ .plan | quote }}}
- {name: RADAR_AUDIT_HUB_BOOTSTRAP_CLUSTER_NAME, value: {{ .clusterName | quote }}}
- {name: RADAR_AUDIT_HUB_BOOTSTRAP_CLUSTER_ID, value: {{ .clusterId | quote }}}
{{- end }}
{{- end }}
{{- if $login.enabled }}
- {name: RADAR_AUDIT_HUB_KUBERNETES_LOGIN, value: "true"}
- {name: RADAR_AUDIT_HUB_KUBERNETES_AUDIENCE, value: {{ $login.audience | quote }}}
- {name: RADAR_AUDIT_HUB_KUBERNETES_COLLECTORS, value: {{ include "radar-audit.hub.collectors" . | quote }}}
- {name: RADAR_AUDIT_HUB_KUBERNETES_OPERATORS, value: {{ include "radar-audit.hub.operators" . | quote }}}
{{- end }}
{{- with $hub.auth.oidc }}
{{- if .issuer }}
- {name: RADAR_AUDIT_HUB_OIDC_ISSUER, value: {{ .issuer | quote }}}
- {name: RADAR_AUDIT_HUB_OIDC_CLIENT_ID, value: {{ .clientId | quote }}}
{{- end }}
{{- end }}
{{- with $hub.smtp }}
{{- if .host }}
- {name: RADAR_AUDIT_HUB_SMTP_HOST, value: {{ .host | quote }}}
- {name: RADAR_AUDIT_HUB_SMTP_PORT, value: {{ .port | quote }}}
- {name: RADAR_AUDIT_HUB_SMTP_SECURITY, value: {{ .security }}}
- {name: RADAR_AUDIT_HUB_SMTP_SENDER, value: {{ .sender | quote }}}
{{- with .username }}
- {name: RADAR_AUDIT_HUB_SMTP_USERNAME, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
