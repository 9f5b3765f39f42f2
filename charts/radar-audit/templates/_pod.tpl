{{/* Parts of pod templates that all our pods share. */}}

{{/* Takes (dict "root" . "component" "hub" "part" .Values.hub). */}}
{{- define "radar-audit.podMetadata" -}}
labels:
  {{- include "radar-audit.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/part-of: radar-audit
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  {{- with merge (deepCopy (.part.podLabels | default dict)) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .part.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where the pods go, and what they may use. */}}
{{- define "radar-audit.placement" -}}
enableServiceLinks: false
{{- $pullSecrets := concat (.root.Values.imagePullSecrets | default list) ((.root.Values.global).imagePullSecrets | default list) }}
{{- with $pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .part.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range .part.topologySpreadConstraints }}
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "radar-audit.selectorLabels" $ | fromYaml)) }}
  - {{- toYaml (merge (deepCopy .) $own) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Probes of a part; takes the port's name. */}}
{{- define "radar-audit.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* A collector's token for the hub, as a source of a projected volume: a file `token`. */}}
{{- define "radar-audit.hubToken" -}}
{{- if .Values.collector.token.existingSecret -}}
secret:
  name: {{ .Values.collector.token.existingSecret }}
  items: [{key: {{ .Values.collector.token.existingSecretKey }}, path: token}]
{{- else -}}
serviceAccountToken:
  path: token
  audience: {{ .Values.hub.auth.kubernetesLogin.audience | quote }}
  expirationSeconds: 3600
{{- end -}}
{{- end -}}
