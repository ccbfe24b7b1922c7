{{/*
Return one file of the kustomize base, or of a component, as YAML: with the release's namespace, and with the labels
that kustomization.yaml adds. Takes a dict of "root" and "file".
*/}}
{{- define "userquota.read" -}}
{{- $namespace := (.root.Files.Get "namespace.yaml" | fromYaml).metadata.name -}}
{{- $object := .root.Files.Get .file | replace $namespace .root.Release.Namespace | fromYaml -}}
{{- $labels := (index (.root.Files.Get "kustomization.yaml" | fromYaml).labels 0).pairs -}}
{{- $_ := set $object.metadata "labels" (merge (deepCopy $labels) (default dict $object.metadata.labels)) -}}
{{- toYaml $object -}}
{{- end }}

{{/* Return the labels that kustomization.yaml adds, as YAML. */}}
{{- define "userquota.labels" -}}
{{- toYaml (index (.Files.Get "kustomization.yaml" | fromYaml).labels 0).pairs -}}
{{- end }}

{{/* Whether an object of the base is left out by values: "true" or nothing. Takes a dict of "root" and "object". */}}
{{- define "userquota.isLeftOut" -}}
{{- $values := .root.Values -}}
{{- $name := .object.metadata.name -}}
{{- $kind := .object.kind -}}
{{- if eq $kind "Namespace" -}}
{{- /* Helm's own to make: it keeps the release in it, and would delete it with the release. */ -}}
true
{{- else if and (eq $name "userquota-groups") (not $values.groups.enabled) -}}
true
{{- else if and (or (hasPrefix "userquota-view-" $name) (eq $kind "APIService")) (not $values.view.enabled) -}}
true
{{- else if and (eq $name "userquota-policy") (not $values.policy.create) -}}
true
{{- end -}}
{{- end }}

{{/* Fail where values do not fit together, which their schema cannot tell. */}}
{{- define "userquota.check" -}}
{{- with .Values -}}
{{- if and (not .policy.create) .policy.text -}}
{{- fail "policy.text: needs policy.create: true" -}}
{{- end -}}
{{- if and .clientCA.pem .clientCA.configMap -}}
{{- fail "clientCA: give pem or configMap, not both" -}}
{{- end -}}
{{- if and .clientCA.names (not (or .clientCA.pem .clientCA.configMap)) -}}
{{- fail "clientCA.names: needs clientCA.pem or clientCA.configMap" -}}
{{- end -}}
{{- if and .liquid.enabled (not .view.enabled) -}}
{{- fail "liquid.enabled: needs view.enabled: true" -}}
{{- end -}}
{{- if and .commitmentSource.secret .commitmentSource.configMap -}}
{{- fail "commitmentSource: give secret or configMap, not both" -}}
{{- end -}}
{{- if and .certManager.issuerRef (not .certManager.enabled) -}}
{{- fail "certManager.issuerRef: needs certManager.enabled: true" -}}
{{- end -}}
{{- end -}}
{{- end }}
