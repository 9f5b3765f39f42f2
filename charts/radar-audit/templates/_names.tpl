{{/* Names, labels and images: one place for what all objects share. */}}

{{- define "radar-audit.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name where it says radar-audit already; at most 40 characters, so that parts fit. */}}
{{- define "radar-audit.fullname" -}}
{{- $name := include "radar-audit.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: what selectors use. Takes (dict "root" . "component" "hub"). */}}
{{- define "radar-audit.selectorLabels" -}}
app.kubernetes.io/name: {{ include "radar-audit.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "radar-audit.labels" -}}
{{ include "radar-audit.selectorLabels" . }}
app.kubernetes.io/part-of: radar-audit
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Those of an object that a Prometheus or a Grafana selects by labels of its own, which win. Takes
     (dict "root" . "component" "monitoring" "labels" .Values.metrics.podMonitor.labels). */}}
{{- define "radar-audit.selectedLabels" -}}
{{- merge (deepCopy (.labels | default dict)) (include "radar-audit.labels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* registry/repository:tag or @digest. Takes (dict "root" . "image" .Values.hub.image). */}}
{{- define "radar-audit.image" -}}
{{- $registry := (.root.Values.global).imageRegistry | default .image.registry -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "radar-audit.hub.serviceAccount" -}}
{{- .Values.hub.serviceAccount.name | default (printf "%s-hub" (include "radar-audit.fullname" .)) -}}
{{- end -}}

{{- define "radar-audit.operator.serviceAccount" -}}
{{- .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "radar-audit.fullname" .)) -}}
{{- end -}}

{{- define "radar-audit.hub.secret" -}}
{{- printf "%s-hub" (include "radar-audit.fullname" .) -}}
{{- end -}}

{{/* The hub's address for collectors. */}}
{{- define "radar-audit.hub.url" -}}
{{- if .Values.hub.url -}}
{{- .Values.hub.url -}}
{{- else -}}
{{- printf "http://%s-hub.%s.svc:%v" (include "radar-audit.fullname" .) .Release.Namespace .Values.hub.service.port -}}
{{- end -}}
{{- end -}}

{{/* The hub's address for browsers. */}}
{{- define "radar-audit.hub.publicUrl" -}}
{{- $ingress := .Values.hub.ingress -}}
{{- $route := .Values.hub.httpRoute -}}
{{- if .Values.hub.publicUrl -}}
{{- .Values.hub.publicUrl -}}
{{- else if and $ingress.enabled $ingress.tlsSecret -}}
{{- printf "https://%s" $ingress.host -}}
{{- else if and $route.enabled $route.hostnames -}}
{{- printf "https://%s" (first $route.hostnames) -}}
{{- else -}}
http://127.0.0.1:8080
{{- end -}}
{{- end -}}

{{/* "true" where collectors of this cluster log in with their ServiceAccount's token. */}}
{{- define "radar-audit.kubernetesLogin" -}}
{{- if and .Values.hub.enabled .Values.hub.auth.kubernetesLogin.enabled (not .Values.collector.token.existingSecret) -}}
true
{{- end -}}
{{- end -}}

{{/* "true" where there is no cluster to ask (GitOps), or the namespace exists. Takes root, namespace. */}}
{{- define "radar-audit.namespaceIsThere" -}}
{{- $canAsk := lookup "v1" "Namespace" "" "kube-system" -}}
{{- if or (not $canAsk) (eq .namespace .root.Release.Namespace) (lookup "v1" "Namespace" "" .namespace) -}}
true
{{- end -}}
{{- end -}}

{{/* Radar's namespaces, separated by commas. */}}
{{- define "radar-audit.radarNamespaces" -}}
{{- prepend .Values.operator.radarNamespaces .Values.collector.radar.namespace | uniq | join "," -}}
{{- end -}}
