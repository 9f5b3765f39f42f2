{{/* What Helm prints after an install or upgrade: the next commands, then the warnings. */}}
{{- define "radar-audit.notes" -}}
{{- $fullname := include "radar-audit.fullname" . }}
{{- $namespace := .Release.Namespace }}
{{- $hub := .Values.hub }}
{{- $radar := .Values.collector.radar }}
{{- $injection := .Values.collector.injection }}
{{- $token := .Values.collector.token }}
{{- $tokenSecret := $token.existingSecret | default "radar-audit-token" }}
{{- $needsToken := not (and $hub.enabled $hub.auth.kubernetesLogin.enabled) }}
{{- $image := include "radar-audit.image" (dict "root" . "image" .Values.collector.image) }}
Radar Audit {{ .Chart.AppVersion }} is installed as {{ .Release.Name }} in the namespace {{ $namespace }}.
{{- if $needsToken }}
{{- include "radar-audit.notes.access" . }}
{{- include "radar-audit.notes.token" (dict "root" . "secret" $tokenSecret) }}
{{- end }}
{{- if eq $injection.mode "values" }}

Put the gateway into the pod of Radar (Radar's chart needs initContainers and extraVolumes):

  helm get values {{ $radar.release }} -n {{ $radar.namespace }} -o yaml > before.yaml
  radar-audit-collector radar-values --merge before.yaml --pod-exec \
    --image {{ $image }} \
    --hub-url {{ include "radar-audit.hub.url" . }} --service-account {{ include "radar-audit.radarAccount" . }}
    {{- if .Values.collector.token.existingSecret }} \
    --token-secret {{ .Values.collector.token.existingSecret }} --token-secret-key {{ .Values.collector.token.existingSecretKey }}
    {{- else if ne $hub.auth.kubernetesLogin.audience "radar-audit-hub" }} \
    --audience {{ $hub.auth.kubernetesLogin.audience }}
    {{- end }}
    {{- if ne .Values.collector.gateway.failurePolicy "open" }} \
    --failure-policy {{ .Values.collector.gateway.failurePolicy }}
    {{- end }}
    {{- if ne .Values.collector.identity "cloud" }} \
    --identity {{ .Values.collector.identity }}
    {{- end }}
    {{- if ne .Values.collector.logLevel "info" }} \
    --log-level {{ .Values.collector.logLevel }}
    {{- end }}
    {{- $resources := .Values.collector.gateway.resources }}
    {{- $requests := include "radar-audit.quantities" $resources.requests }}
    {{- if ne $requests "cpu=20m,memory=64Mi" }} \
    --requests {{ $requests }}
    {{- end }}
    {{- $limits := include "radar-audit.quantities" $resources.limits }}
    {{- if ne $limits "memory=192Mi" }} \
    --limits {{ $limits }}
    {{- end }} > radar-values.yaml
  diff before.yaml radar-values.yaml
  helm upgrade {{ $radar.release }} RADAR_CHART --version INSTALLED -n {{ $radar.namespace }} -f radar-values.yaml --wait
{{- if $injection.radarValuesConfigMap }}

Without that program, where Radar's values set none of env, initContainers, extraVolumes and
extraVolumeMounts (rbac.podExec must be true):

  kubectl -n {{ $namespace }} get configmap {{ $fullname }}-radar-values -o jsonpath='{.data.radar-values\.yaml}' > radar-values.yaml
  helm upgrade {{ $radar.release }} RADAR_CHART --version INSTALLED -n {{ $radar.namespace }} -f before.yaml -f radar-values.yaml --wait
{{- end }}
{{- else if eq $injection.mode "admissionPolicy" }}

Label the pods of Radar; the API server then puts the gateway into each new one:

  helm upgrade {{ $radar.release }} RADAR_CHART --version INSTALLED -n {{ $radar.namespace }} --reset-then-reuse-values \
    --set-string 'podLabels.{{ $injection.podLabel | replace "." "\\." }}=true' --wait
{{- end }}
{{- if not $needsToken }}
{{- include "radar-audit.notes.access" . }}
{{- end }}

See whether all is well, and watch what comes while you open a terminal in Radar:

  radar-audit doctor
    {{- if ne $namespace "radar-audit" }} -n {{ $namespace }}{{ end }}
    {{- if ne $radar.namespace "radar" }} --radar-namespace {{ $radar.namespace }}{{ end }}
    {{- if ne $radar.podSelector "app.kubernetes.io/name=radar" }} --radar-selector {{ $radar.podSelector }}{{ end }}
  radar-audit tail -f
{{- if .Values.tests.enabled }}

Let a pod post a terminal and read it back:

  helm test {{ .Release.Name }} -n {{ $namespace }}
{{- end }}
{{- if and .Values.operator.enabled .Values.crds.enabled }}

Say with Kubernetes objects how long events are kept and who is told, here a Slack channel
{{- if not $hub.enabled }}; radar-audit whoami
and radar-audit clusters list show what stands for ORG_ID and CLUSTER_ID{{ end }}:

  kubectl -n {{ $namespace }} create secret generic slack --from-literal=url=https://hooks.slack.com/services/...
  kubectl apply -f - <<'END'
apiVersion: audit.radarhq.io/v1alpha1
kind: AuditHub
metadata: {name: main}
spec:
  url: {{ include "radar-audit.hub.url" . }}
  organization: {{ ternary $hub.bootstrap.orgId "ORG_ID" $hub.enabled }}
  clusterId: {{ ternary $hub.bootstrap.clusterId "CLUSTER_ID" $hub.enabled }}
  {{- if $needsToken }}
  tokenSecretRef: {name: {{ $tokenSecret }}, key: {{ $token.existingSecretKey | quote }}}
  {{- end }}
---
apiVersion: audit.radarhq.io/v1alpha1
kind: AuditPolicy
metadata: {name: main, namespace: {{ $namespace | quote }}}
spec:
  hubRef: {name: main}
  retention: {maxAge: 30d}
  notifications:
    destinations:
      - {name: security, slack: {urlSecretRef: {name: slack, key: url}}}
    rules:
      - {name: prod-shells, actions: [pod.exec_started], query: 'namespace:prod*', destinations: [security]}
END
{{- end }}
{{- with include "radar-audit.warnings" . | trim }}

{{ . }}
{{- end }}
{{- end -}}


{{/* Resources and their quantities as kubectl takes them on its command line; none without any. */}}
{{- define "radar-audit.quantities" -}}
{{- $pairs := list -}}
{{- range $resource, $quantity := . -}}
{{- $pairs = append $pairs (printf "%s=%v" $resource $quantity) -}}
{{- end -}}
{{- $pairs | join "," | default "none" -}}
{{- end -}}

{{/* How people get at the hub: with a browser, and with radar-audit. */}}
{{- define "radar-audit.notes.access" -}}
{{- $fullname := include "radar-audit.fullname" . }}
{{- $namespace := .Release.Namespace }}
{{- $hub := .Values.hub }}
{{- if and $hub.enabled (not $hub.bootstrap.enabled) }}

Make the organization, its owner and the cluster, once; their tokens are shown:

  kubectl -n {{ $namespace }} exec deploy/{{ $fullname }}-hub -- radar-audit-hub init \
    --org-id {{ $hub.bootstrap.orgId }} --email {{ $hub.bootstrap.ownerEmail }} --cluster-id {{ $hub.bootstrap.clusterId }}
{{- end }}
{{- if $hub.enabled }}

Sign in with a browser; the link works once, for ten minutes:
{{ if hasPrefix "http://" (include "radar-audit.hub.publicUrl" .) }}
  kubectl -n {{ $namespace }} port-forward svc/{{ $fullname }}-hub 8080:{{ $hub.service.port }}
{{- end }}
  kubectl -n {{ $namespace }} exec deploy/{{ $fullname }}-hub -- radar-audit-hub signin-link --email {{ $hub.bootstrap.ownerEmail }}

A token for radar-audit, shown once:

  kubectl -n {{ $namespace }} exec deploy/{{ $fullname }}-hub -- radar-audit-hub pat create --email {{ $hub.bootstrap.ownerEmail }}
  export RADAR_AUDIT_URL={{ include "radar-audit.hub.publicUrl" . }} RADAR_AUDIT_ORG={{ $hub.bootstrap.orgId }} RADAR_AUDIT_TOKEN=rhp_...
{{- end }}
{{- if not $hub.enabled }}

The hub is elsewhere. A token for radar-audit is made on its pages, or by radar-audit pats create:

  export RADAR_AUDIT_URL={{ $hub.url | trimSuffix "/" }} RADAR_AUDIT_TOKEN=rhp_...
{{- end }}
{{- end -}}

{{/* The cluster's token, in each namespace where a part reads it. Takes (dict "root" . "secret" name). */}}
{{- define "radar-audit.notes.token" -}}
{{- $values := .root.Values }}
{{- $secret := .secret }}
{{- $key := $values.collector.token.existingSecretKey }}
{{- $places := ternary (list) (list $values.collector.radar.namespace) (eq $values.collector.injection.mode "none") }}
{{- if or $values.operator.enabled $values.tests.enabled $values.collector.webhook.enabled $values.collector.logTail.enabled }}
{{- $places = append $places .root.Release.Namespace | uniq }}
{{- end }}

The token of this cluster, which all parts need;
{{- if $values.hub.enabled }} a new one ends the one before at once:{{ else }} make the cluster only if the hub has none of it yet:{{ end }}

  radar-audit clusters {{ ternary (printf "rotate-token %s --yes" $values.hub.bootstrap.clusterId) "create NAME --environment production" $values.hub.enabled }} --token-file cluster.token
{{- range $places }}
  kubectl -n {{ . }} create secret generic {{ $secret }} --from-file={{ $key }}=cluster.token
{{- end }}
{{- end -}}
