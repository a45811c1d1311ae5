{{/* Every component, by its name, as YAML: a service, the gateway or the read side, with what `defaults` gives it.

`role` is service, gateway or status; `args` what the image's entry point gets; `most` how many replicas there may be;
`grace` the pod's grace period, which is computed: what the program itself may take to stop, and a margin.
*/}}
{{- define "antiphon.components" -}}
{{- $root := . -}}
{{- $found := dict -}}
{{- $where := list -}}
{{- range .Values.apps }}{{ $where = concat $where (list "--app" .) }}{{ end -}}
{{- range $name, $own := .Values.services -}}
{{- if $own -}}
{{- $scaled := mustMergeOverwrite (dict) (deepCopy $root.Values.autoscaling) ($own.autoscaling | default dict) -}}
{{- $each := mustMergeOverwrite (dict) (deepCopy $root.Values.defaults) (omit $own "autoscaling") -}}
{{- $_ := set $each "role" "service" -}}
{{- $_ := set $each "args" (list "run" $own.app) -}}
{{- $_ := set $each "autoscaling" $scaled -}}
{{- $_ := set $each "most" (ternary $scaled.maxReplicas $each.replicas $scaled.enabled) -}}
{{- $_ := set $each "closing" 5 -}}
{{- $_ := set $found $name $each -}}
{{- end -}}
{{- end -}}
{{- if .Values.gateway.enabled -}}
{{- $each := mustMergeOverwrite (dict) (deepCopy .Values.defaults) (deepCopy .Values.gateway) -}}
{{- $_ := set $each "role" "gateway" -}}
{{- $_ := set $each "args" (concat (list "gateway") $where) -}}
{{- $_ := set $each "autoscaling" (dict "enabled" false) -}}
{{- $_ := set $each "most" $each.replicas -}}
{{- $_ := set $each "closing" (add 10 $each.preStopSeconds) -}}
{{- $_ := set $found "gateway" $each -}}
{{- end -}}
{{- if .Values.status.enabled -}}
{{- $each := mustMergeOverwrite (dict) (deepCopy .Values.defaults) (deepCopy .Values.status) -}}
{{- $_ := set $each "role" "status" -}}
{{- $_ := set $each "args" (concat (list "projector") $where) -}}
{{- $_ := set $each "autoscaling" (dict "enabled" false) -}}
{{- $_ := set $each "replicas" 1 -}}
{{- $_ := set $each "most" 1 -}}
{{- $_ := set $each "closing" 0 -}}
{{- $_ := set $found "status" $each -}}
{{- end -}}
{{- range $name, $each := $found -}}
{{- $grace := dig "grace" ($root.Values.settings.grace | default 20) ($each.settings | default dict) -}}
{{- $_ := set $each "grace" (add (max 1 (ceil $grace)) $each.closing $root.Values.terminationMarginSeconds) -}}
{{- $account := $each.serviceAccount.name | default (ternary (printf "%s-%s" (include "antiphon.fullname" $root) $name) "default" $each.serviceAccount.create) -}}
{{- $_ := set $each "account" $account -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* The annotations of a ServiceAccount. Takes root and the account's own values. */}}
{{- define "antiphon.accountAnnotations" -}}
{{- $found := deepCopy (.account.annotations | default dict) -}}
{{- with .root.Values.workloadIdentity -}}
{{- if .enabled -}}
{{- $_ := set $found "azure.workload.identity/client-id" .clientId -}}
{{- if .tenantId }}{{ $_ := set $found "azure.workload.identity/tenant-id" .tenantId }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* The catalogue: that of the values, else the one of the image's own services. */}}
{{- define "antiphon.catalogue" -}}
{{- if .Values.catalogue -}}
{{- toYaml .Values.catalogue -}}
{{- else -}}
{{- toYaml (.Files.Get "files/catalogue.yaml" | fromYaml).catalogue -}}
{{- end -}}
{{- end -}}
