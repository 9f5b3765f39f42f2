{{/*
What values.schema.json cannot say: values that do not fit together. All that is wrong is told at
once, each by its key with what would be right.
*/}}
{{- define "radar-audit.checks" -}}
{{- $wrong := list -}}
{{- $hub := .Values.hub -}}
{{- $collector := .Values.collector -}}
{{- $postgresql := $hub.database.postgresql -}}
{{- if $hub.enabled -}}
{{- if and (eq $hub.database.type "sqlite") (gt ($hub.replicaCount | int) 1) -}}
{{- $wrong = append $wrong "hub.replicaCount must be 1 with SQLite, which is one file of one hub; for more set hub.database.type to postgresql" -}}
{{- end -}}
{{- if and (eq $hub.database.type "postgresql") (not (or $postgresql.url $postgresql.existingSecret)) -}}
{{- $wrong = append $wrong "hub.database.postgresql needs existingSecret (or url): where the database is" -}}
{{- end -}}
{{- if and $hub.podDisruptionBudget.enabled (lt ($hub.replicaCount | int) 2) -}}
{{- $wrong = append $wrong "hub.podDisruptionBudget.enabled needs hub.replicaCount of 2 or more: with one replica it would keep nodes from being drained" -}}
{{- end -}}
{{- if and $hub.ingress.enabled (not $hub.ingress.host) -}}
{{- $wrong = append $wrong "hub.ingress.host is empty; set it to the name that people type" -}}
{{- end -}}
{{- if and $hub.httpRoute.enabled (not (and $hub.httpRoute.parentRefs $hub.httpRoute.hostnames)) -}}
{{- $wrong = append $wrong "hub.httpRoute needs parentRefs (which Gateway) and hostnames (the names that people type)" -}}
{{- end -}}
{{- if contains "*" (include "radar-audit.hub.publicUrl" .) -}}
{{- $wrong = append $wrong "hub.publicUrl is empty, and the first host has a *; set it to the address that people type" -}}
{{- end -}}
{{- if and $hub.auth.oidc.issuer (not $hub.auth.oidc.clientId) -}}
{{- $wrong = append $wrong "hub.auth.oidc.clientId is empty; set it to the hub's id at the provider" -}}
{{- end -}}
{{- if and $hub.smtp.host (ne (empty $hub.smtp.username) (not (or $hub.smtp.password $hub.smtp.existingSecret))) -}}
{{- $wrong = append $wrong "hub.smtp.username and hub.smtp.existingSecret (or password) belong together; set both or none" -}}
{{- end -}}
{{- range $key, $pair := dict "hub.database.postgresql.url" (list $postgresql.url $postgresql.existingSecret) "hub.secretsKey.value" (list $hub.secretsKey.value $hub.secretsKey.existingSecret) "hub.auth.oidc.clientSecret" (list $hub.auth.oidc.clientSecret $hub.auth.oidc.existingSecret) "hub.smtp.password" (list $hub.smtp.password $hub.smtp.existingSecret) -}}
{{- if and (first $pair) (last $pair) -}}
{{- $wrong = append $wrong (printf "%s and existingSecret beside it are both set; keep existingSecret" $key) -}}
{{- end -}}
{{- end -}}
{{- else if not $hub.url -}}
{{- $wrong = append $wrong "hub.url is empty and hub.enabled is false; set hub.url to the address of the hub elsewhere" -}}
{{- end -}}
{{- $reports := or (ne $collector.injection.mode "none") $collector.webhook.enabled $collector.logTail.enabled -}}
{{- if and $reports (not (include "radar-audit.kubernetesLogin" .)) (not $collector.token.existingSecret) -}}
{{- $wrong = append $wrong "collector.token.existingSecret is empty; without hub.auth.kubernetesLogin, or with a hub elsewhere, collectors need a Secret with a cluster token (rhc_…)" -}}
{{- end -}}
{{- if and (eq $collector.injection.mode "admissionPolicy") (semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version) -}}
{{- $wrong = append $wrong (printf "collector.injection.mode admissionPolicy needs Kubernetes 1.36, this is %s; use values" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- with $collector.webhook -}}
{{- if .enabled -}}
{{- if not (or .tls.existingSecret .tls.certManager) -}}
{{- $wrong = append $wrong "collector.webhook.tls needs existingSecret or certManager: the sink speaks TLS only" -}}
{{- end -}}
{{- if and .tls.existingSecret .tls.certManager -}}
{{- $wrong = append $wrong "collector.webhook.tls.existingSecret and collector.webhook.tls.certManager are both set; keep one" -}}
{{- end -}}
{{- if not (or .token.value .token.existingSecret .clientCA.existingSecret) -}}
{{- $wrong = append $wrong "collector.webhook needs token.existingSecret or clientCA.existingSecret: how it knows the API server" -}}
{{- end -}}
{{- if and .token.value .token.existingSecret -}}
{{- $wrong = append $wrong "collector.webhook.token.value and existingSecret beside it are both set; keep existingSecret" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.operator.enabled .Values.operator.podDisruptionBudget.enabled (lt (.Values.operator.replicaCount | int) 2) -}}
{{- $wrong = append $wrong "operator.podDisruptionBudget.enabled needs operator.replicaCount of 2 or more" -}}
{{- end -}}
{{- $parts := dict "hub" $hub "operator" .Values.operator "collector.webhook" $collector.webhook "collector.logTail" $collector.logTail -}}
{{- $labels := dict "commonLabels" .Values.commonLabels -}}
{{- range $key, $part := $parts -}}
{{- $_ := set $labels (printf "%s.podLabels" $key) $part.podLabels -}}
{{- end -}}
{{- range $key, $given := $labels -}}
{{- range $label, $_ := $given -}}
{{- if regexMatch "^(app[.]kubernetes[.]io/(name|instance|component|part-of|version|managed-by)|helm[.]sh/chart)$" $label -}}
{{- $wrong = append $wrong (printf "%s has %s, by which the chart knows its own objects; take another label" $key $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nThese values do not fit together:\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}
