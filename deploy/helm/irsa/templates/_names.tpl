{{/* The name of a part: RELEASE-irsa-issuer, without saying irsa twice. */}}
{{- define "irsa.name" -}}
{{- $base := ternary .root.Release.Name (printf "%s-irsa" .root.Release.Name) (contains "irsa" .root.Release.Name) -}}
{{- printf "%s-%s" ($base | trunc 40 | trimSuffix "-") .part -}}
{{- end -}}

{{/* What finds the pods of a part; never changed, since selectors cannot be. */}}
{{- define "irsa.selector" -}}
app.kubernetes.io/name: irsa
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "irsa.labels" -}}
{{ include "irsa.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "irsa.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Nothing is root, nothing becomes it. */}}
{{- define "irsa.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "irsa.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
