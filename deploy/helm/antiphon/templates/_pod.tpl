{{/* What the pods of all components and of the set-up Job have in common. */}}

{{/* Takes root and name. */}}
{{- define "antiphon.volumes" -}}
{{- $login := include "antiphon.login" . | fromYaml -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .root.Values.temporarySize }}
{{- if $login }}
- name: kafka-login
  secret:
    secretName: {{ $login.secret }}
    {{- /* 0440: for the pod's group alone */}}
    defaultMode: 288
    items:
      - key: {{ $login.key }}
        path: {{ $login.key }}
{{- end }}
{{- if and .root.Values.kafka.tls.enabled .root.Values.kafka.tls.caSecret }}
- name: kafka-ca
  secret:
    secretName: {{ .root.Values.kafka.tls.caSecret }}
    items:
      - key: {{ .root.Values.kafka.tls.caKey }}
        path: {{ .root.Values.kafka.tls.caKey }}
{{- end }}
{{- end -}}

{{/* Takes root and name. */}}
{{- define "antiphon.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if include "antiphon.login" . | fromYaml }}
- name: kafka-login
  mountPath: /etc/antiphon/kafka-login
  readOnly: true
{{- end }}
{{- if and .root.Values.kafka.tls.enabled .root.Values.kafka.tls.caSecret }}
- name: kafka-ca
  mountPath: /etc/antiphon/kafka-ca
  readOnly: true
{{- end }}
{{- end -}}

{{/* A probe on the metrics port. Takes path and timings. */}}
{{- define "antiphon.probe" -}}
httpGet:
  path: {{ .path }}
  port: metrics
{{ toYaml .timings }}
{{- end -}}

{{- define "antiphon.podLabels" -}}
{{ include "antiphon.labels" (dict "root" .root "component" .name) }}
{{- if .root.Values.workloadIdentity.enabled }}
azure.workload.identity/use: "true"
{{- end }}
{{- with .own.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where the pods of a component run. Takes root, name, own. */}}
{{- define "antiphon.placing" -}}
{{- with .own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .own.topologySpreadConstraints | nindent 2 }}
{{- else if .own.spreadOver }}
{{- $selector := include "antiphon.selector" (dict "root" .root "component" .name) }}
topologySpreadConstraints:
  {{- range .own.spreadOver }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
    matchLabelKeys:
      - pod-template-hash
  {{- end }}
{{- end }}
{{- end -}}
