{{/* One line for each choice that works, but worse than it could. Printed by NOTES.txt. */}}
{{- define "radar-audit.warnings" -}}
{{- $warnings := list -}}
{{- $hub := .Values.hub -}}
{{- $collector := .Values.collector -}}
{{- if $hub.enabled -}}
{{- $database := $hub.database -}}
{{- if eq $database.type "sqlite" -}}
{{- if not $database.persistence.enabled -}}
{{- $warnings = append $warnings "hub.database.persistence.enabled is false: the log is lost with the hub's pod." -}}
{{- else if not (or $database.persistence.keep $database.persistence.existingClaim) -}}
{{- $warnings = append $warnings "hub.database.persistence.keep is false: uninstalling deletes the log." -}}
{{- end -}}
{{- else if not (or $hub.secretsKey.value $hub.secretsKey.existingSecret) -}}
{{- $warnings = append $warnings "hub.secretsKey is empty: with PostgreSQL the hub takes no secrets of alert destinations." -}}
{{- end -}}
{{- $inline := list -}}
{{- range (include "radar-audit.hub.secretTable" . | fromJson).rows -}}
{{- if .inline -}}{{- $inline = append $inline .file -}}{{- end -}}
{{- end -}}
{{- with $inline -}}
{{- $warnings = append $warnings (printf "Secrets stand in the values (%s): whoever reads this release reads them. Use existingSecret." (join ", " .)) -}}
{{- end -}}
{{- if not $hub.auth.oidc.issuer -}}
{{- $warnings = append $warnings "hub.auth.oidc.issuer is empty: people sign in only by links that you make for them." -}}
{{- end -}}
{{- if not $hub.smtp.host -}}
{{- $warnings = append $warnings "hub.smtp.host is empty: invitations are written to the hub's log, with their links." -}}
{{- end -}}
{{- if hasPrefix "http://" (include "radar-audit.hub.publicUrl" .) -}}
{{- $warnings = append $warnings "hub.publicUrl is on loopback: people reach the hub by a port-forward only. Set hub.ingress or hub.httpRoute." -}}
{{- end -}}
{{- if and $hub.ingress.enabled (not $hub.ingress.tlsSecret) -}}
{{- $warnings = append $warnings "hub.ingress.tlsSecret is empty: unless something before it speaks TLS, nobody can sign in." -}}
{{- end -}}
{{- if and (or $hub.ingress.enabled $hub.httpRoute.enabled) (not $hub.trustedProxies) -}}
{{- $warnings = append $warnings "hub.trustedProxies is empty: everybody has the proxy's address, and shares the limit on sign-ins." -}}
{{- end -}}
{{- if and $hub.bootstrap.enabled (eq $hub.bootstrap.orgId "org_main") (eq $collector.identity "cloud") -}}
{{- $warnings = append $warnings "hub.bootstrap.orgId is org_main: terminals through Radar Cloud are recorded only if it is the id of your organization there." -}}
{{- end -}}
{{- if not $hub.bootstrap.enabled -}}
{{- $warnings = append $warnings "hub.bootstrap.enabled is false: make the organization with radar-audit-hub init in the hub's pod." -}}
{{- else if hasSuffix "@example.com" $hub.bootstrap.ownerEmail -}}
{{- $warnings = append $warnings (printf "hub.bootstrap.ownerEmail is %s: set it to yours before the first start, or add yourself with radar-audit-hub member add." $hub.bootstrap.ownerEmail) -}}
{{- end -}}
{{- if $hub.auth.kubernetesLogin.enabled -}}
{{- if $collector.token.existingSecret -}}
{{- $warnings = append $warnings "collector.token.existingSecret is set: collectors use a token that does not end by itself, instead of hub.auth.kubernetesLogin." -}}
{{- end -}}
{{- else -}}
{{- $warnings = append $warnings "hub.auth.kubernetesLogin.enabled is false: collectors use a token that does not end by itself." -}}
{{- end -}}
{{- else if hasPrefix "http://" $hub.url -}}
{{- $warnings = append $warnings "hub.url is http: who is on the way can read what is reported." -}}
{{- end -}}
{{- if and (eq $collector.injection.mode "none") (not $collector.webhook.enabled) (not $collector.logTail.enabled) -}}
{{- $warnings = append $warnings "collector.injection.mode is none and no other source is on: nothing is recorded." -}}
{{- end -}}
{{- if and (eq $collector.injection.mode "admissionPolicy") (eq $collector.injection.failurePolicy "Ignore") -}}
{{- $warnings = append $warnings "collector.injection.failurePolicy is Ignore: where the policy fails, Radar starts unrecorded." -}}
{{- end -}}
{{- if $collector.logTail.enabled -}}
{{- $warnings = append $warnings "collector.logTail.enabled is true: its pods use hostPath, so the namespace must allow privileged pods." -}}
{{- end -}}
{{- if and $collector.webhook.enabled $collector.webhook.token.value -}}
{{- $warnings = append $warnings "collector.webhook.token.value stands in the values: whoever reads this release reads it. Use existingSecret." -}}
{{- end -}}
{{- if not .Values.operator.enabled -}}
{{- $warnings = append $warnings "operator.enabled is false: nobody acts on AuditPolicies, and nobody notices a Radar without the gateway." -}}
{{- else -}}
{{- if not .Values.operator.rbac.create -}}
{{- $warnings = append $warnings "operator.rbac.create is false: until you grant the rights of docs/operator.md the operator does nothing." -}}
{{- end -}}
{{- if not .Values.crds.enabled -}}
{{- $warnings = append $warnings "crds.enabled is false: the operator needs AuditHub and AuditPolicy; apply crds/ yourself, at each upgrade too." -}}
{{- end -}}
{{- range concat .Values.operator.policyNamespaces (include "radar-audit.radarNamespaces" . | splitList ",") | uniq -}}
{{- if not (include "radar-audit.namespaceIsThere" (dict "root" $ "namespace" .)) -}}
{{- $warnings = append $warnings (printf "The namespace %s does not exist, so the operator got no rights there; run helm upgrade once it does." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.crds.enabled (not .Values.crds.keep) -}}
{{- $warnings = append $warnings "crds.keep is false: uninstalling deletes all AuditHubs and AuditPolicies of the cluster." -}}
{{- end -}}
{{- range $warnings }}
WARNING: {{ . }}
{{- end }}
{{- end -}}
