{{- define "weir.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "weir.selector" -}}
app.kubernetes.io/name: weir
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "weir.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "weir.name" .) -}}
{{- end -}}

{{- define "weir.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where the kubelet, on the node's network, asks: a wildcard address is no address to ask. */}}
{{- define "weir.probeHost" -}}
{{- $host := regexReplaceAll ":[0-9]+$" .Values.config.http "" | trimPrefix "[" | trimSuffix "]" -}}
{{- if eq $host "0.0.0.0" -}}
127.0.0.1
{{- else if eq $host "::" -}}
::1
{{- else -}}
{{ $host }}
{{- end -}}
{{- end -}}

{{- define "weir.port" -}}
{{- regexFind "[0-9]+$" .Values.config.http -}}
{{- end -}}

{{/* The agent's configuration file: the values' keys, and what the chart decides. */}}
{{- define "weir.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $mode := ternary "audit" "profiles" (eq .Values.mode "audit") -}}
{{- $_ := set $config "policy" (merge (dict "dir" "/etc/weir/policy" "mode" $mode) $config.policy) -}}
{{- $_ := set $config.events "file" ($config.events.file | default nil) -}}
{{- $_ := set $config.events "otlp" ($config.events.otlp | default nil) -}}
{{- $_ := set $config.jobPage "help" ($config.jobPage.help | default nil) -}}
{{- $_ := set $config "control" "/run/weir/weir.sock" -}}
{{- toYaml $config -}}
{{- end -}}
