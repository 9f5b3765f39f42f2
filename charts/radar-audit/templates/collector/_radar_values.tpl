{{/*
What puts the gateway into Radar's pod: four lists of Radar's own chart, which passes them on as they
are. The same block is printed by `radar-audit-collector radar-values`, and a test compares the two.
*/}}
{{- define "radar-audit.radarValues" -}}
{{- $account := "/var/run/secrets/kubernetes.io/serviceaccount" -}}
env:
  - {name: KUBERNETES_SERVICE_HOST, value: "127.0.0.1"}
  - {name: KUBERNETES_SERVICE_PORT, value: "16443"}
extraVolumes:
  - {name: radar-audit-sa, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: radar-audit-keys, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: radar-audit-spool, emptyDir: {sizeLimit: 512Mi}}
  - name: radar-audit-token
    projected:
      sources:
        - serviceAccountToken: {path: token, expirationSeconds: 3600}
        - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
  - name: radar-audit-upstream
    projected:
      sources:
        - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
  - name: radar-audit-hub
    projected:
      sources:
        - {{- include "radar-audit.hubToken" . | nindent 10 }}
extraVolumeMounts:
  - {name: radar-audit-sa, mountPath: {{ $account }}, readOnly: true}
  - {name: radar-audit-token, mountPath: /var/run/secrets/radar-audit, readOnly: true}
initContainers:
  - name: radar-audit
    image: {{ include "radar-audit.image" (dict "root" . "image" .Values.collector.image) }}
    restartPolicy: Always
    args: [gateway]
    env:
      - {name: RADAR_AUDIT_COLLECTOR_HUB_URL, value: {{ include "radar-audit.hub.url" . | quote }}}
      - {name: RADAR_AUDIT_COLLECTOR_TOKEN_FILE, value: /run/radar-audit/hub/token}
      - {name: RADAR_AUDIT_COLLECTOR_RADAR_SERVICE_ACCOUNT, value: {{ include "radar-audit.radarAccount" . | quote }}}
      - {name: RADAR_AUDIT_COLLECTOR_DATA_DIR, value: /var/lib/radar-audit}
      - {name: RADAR_AUDIT_COLLECTOR_PROBES_LISTEN, value: "0.0.0.0:9281"}
      - {name: RADAR_AUDIT_COLLECTOR_GATEWAY_FAILURE_POLICY, value: {{ .Values.collector.gateway.failurePolicy }}}
      - {name: RADAR_AUDIT_COLLECTOR_GATEWAY_DRAIN_SECONDS, value: "5"}
      {{- if ne .Values.collector.identity "cloud" }}
      - {name: RADAR_AUDIT_COLLECTOR_IDENTITY, value: {{ .Values.collector.identity }}}
      {{- end }}
      {{- if ne .Values.collector.logLevel "info" }}
      - {name: RADAR_AUDIT_COLLECTOR_LOG_LEVEL, value: {{ .Values.collector.logLevel }}}
      {{- end }}
    ports:
      - {name: audit-metrics, containerPort: 9281}
    startupProbe:
      httpGet: {path: /livez, port: 9281}
      periodSeconds: 1
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /livez, port: 9281}
      periodSeconds: 10
      timeoutSeconds: 5
    resources:
      {{- toYaml .Values.collector.gateway.resources | nindent 6 }}
    securityContext:
      runAsNonRoot: true
      runAsUser: 65532
      runAsGroup: 65532
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
    volumeMounts:
      - {name: radar-audit-sa, mountPath: /run/radar-audit/sa}
      - {name: radar-audit-keys, mountPath: /run/radar-audit/keys}
      - {name: radar-audit-spool, mountPath: /var/lib/radar-audit}
      - {name: radar-audit-upstream, mountPath: {{ $account }}, readOnly: true}
      - {name: radar-audit-hub, mountPath: /run/radar-audit/hub, readOnly: true}
{{- end -}}

{{- define "radar-audit.radarAccount" -}}
{{- printf "%s/%s" .Values.collector.radar.namespace .Values.collector.radar.serviceAccountName -}}
{{- end -}}
