{{/* What Helm prints after an install or upgrade: the next commands, then the warnings. */}}
{{- define "radar-audit.notes" -}}
{{- $fullname := include "radar-audit.fullname" . }}
{{- $namespace := .Release.Namespace }}
{{- $hub := .Values.hub }}
{{- $radar := .Values.collector.radar }}
{{- $injection := .Values.collector.injection }}
{{- $image := include "radar-audit.image" (dict "root" . "image" .Values.collector.image) }}
Radar Audit {{ .Chart.AppVersion }} is installed as {{ .Release.Name }} in the namespace {{ $namespace }}.
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
{{- if and .Values.operator.enabled $hub.enabled .Values.crds.enabled }}

Say with Kubernetes objects how long events are kept and who is told, here a Slack channel:
{{ if not $hub.auth.kubernetesLogin.enabled }}
  radar-audit clusters rotate-token {{ $hub.bootstrap.clusterId }} --yes --token-file cluster.token
  kubectl -n {{ $namespace }} create secret generic radar-audit-token --from-file=token=cluster.token
{{- end }}
  kubectl -n {{ $namespace }} create secret generic slack --from-literal=url=https://hooks.slack.com/services/...
  kubectl apply -f - <<'END'
apiVersion: audit.radarhq.io/v1alpha1
kind: AuditHub
metadata: {name: main}
spec:
  url: {{ include "radar-audit.hub.url" . }}
  organization: {{ $hub.bootstrap.orgId }}
  clusterId: {{ $hub.bootstrap.clusterId }}
  {{- if not $hub.auth.kubernetesLogin.enabled }}
  tokenSecretRef: {name: radar-audit-token, key: token}
  {{- end }}
---
apiVersion: audit.radarhq.io/v1alpha1
kind: AuditPolicy
metadata: {name: main, namespace: {{ $namespace }}}
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
