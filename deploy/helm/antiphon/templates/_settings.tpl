{{/* ANTIPHON_… variables: in a ConfigMap what all containers share, in their own environment the rest. */}}

{{/* A value as the environment has it; YAML's numbers would be written 1e+06. */}}
{{- define "antiphon.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if or (kindIs "map" .) (kindIs "slice" .) -}}
{{ toJson . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* Variables with their values, as YAML. */}}
{{- define "antiphon.settings" -}}
{{- $found := dict -}}
{{- range $name, $value := .Values.settings -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $found (printf "ANTIPHON_%s" (upper $name)) (include "antiphon.text" $value) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $found "ANTIPHON_BOOTSTRAP_SERVERS" .Values.kafka.bootstrapServers -}}
{{- $_ := set $found "ANTIPHON_HOST" "0.0.0.0" -}}
{{- $_ := set $found "ANTIPHON_PORT" "8003" -}}
{{- $_ := set $found "ANTIPHON_METRICS_HOST" "0.0.0.0" -}}
{{- $_ := set $found "ANTIPHON_METRICS_PORT" (include "antiphon.text" .Values.metrics.port) -}}
{{- toYaml $found -}}
{{- end -}}

{{/* Who logs in to Kafka, as YAML: mechanism, username, secret, key. Takes root and name (of the component). */}}
{{- define "antiphon.login" -}}
{{- $sasl := .root.Values.kafka.sasl -}}
{{- if .root.Values.strimzi.users.enabled -}}
{{- $user := printf "%s-%s" (include "antiphon.fullname" .root) .name -}}
{{- toYaml (dict "mechanism" "SCRAM-SHA-512" "username" $user "secret" $user "key" "password") -}}
{{- else if $sasl.mechanism -}}
{{- toYaml (dict "mechanism" $sasl.mechanism "username" $sasl.username "secret" $sasl.existingSecret "key" $sasl.passwordKey) -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* The environment by which a container reaches Kafka. Takes root and name. */}}
{{- define "antiphon.kafkaEnv" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $login := include "antiphon.login" . | fromYaml -}}
{{- if $kafka.existingSecret -}}
- name: ANTIPHON_KAFKA
  valueFrom:
    secretKeyRef:
      name: {{ $kafka.existingSecret }}
      key: {{ $kafka.existingSecretKey }}
{{- else -}}
{{- $options := deepCopy $kafka.options -}}
{{- if or $kafka.tls.enabled $login -}}
{{- $_ := set $options "security.protocol" (ternary (ternary "SASL_SSL" "SSL" (not (empty $login))) "SASL_PLAINTEXT" $kafka.tls.enabled) -}}
{{- end -}}
{{- if and $kafka.tls.enabled $kafka.tls.caSecret -}}
{{- $_ := set $options "ssl.ca.location" (printf "/etc/antiphon/kafka-ca/%s" $kafka.tls.caKey) -}}
{{- end -}}
{{- if $login -}}
{{- $_ := set $options "sasl.mechanism" $login.mechanism -}}
{{- $_ := set $options "sasl.username" $login.username }}
{{- /* KEDA looks for it here */}}
- name: SASL_USERNAME
  value: {{ $login.username | quote }}
{{- /* a file, since it is read again when the Secret changes */}}
- name: ANTIPHON_KAFKA_PASSWORD_FILE
  value: /etc/antiphon/kafka-login/{{ $login.key }}
{{- end }}
- name: ANTIPHON_KAFKA
  value: {{ toRawJson $options | quote }}
{{- end -}}
{{- end -}}

{{/* The environment by which a container reaches the read side's database. Takes root. */}}
{{- define "antiphon.databaseEnv" -}}
- name: ANTIPHON_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.database.existingSecret }}
      key: {{ .root.Values.database.key }}
{{- end -}}

{{/* Settings of services that lie in Secrets. Takes root. */}}
{{- define "antiphon.secretEnv" -}}
{{- range $name, $where := .root.Values.secretSettings }}
- name: ANTIPHON_{{ upper $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $where.existingSecret }}
      key: {{ $where.key }}
{{- end -}}
{{- end -}}
