{{/*
Each of these changes an object of the base in place, as values say, and returns nothing. Takes a dict of "root" and
"object". The name is that of the kind.
*/}}

{{- define "userquota.change.Deployment" -}}
{{- $values := .root.Values -}}
{{- $pod := .object.spec.template.spec -}}
{{- $container := first $pod.containers -}}
{{- include "userquota.change.pod" . -}}
{{- with $values.replicas -}}
{{- $_ := set $.object.spec "replicas" . -}}
{{- end -}}
{{- if hasKey $values "priorityClassName" -}}
{{- $_ := set $pod "priorityClassName" $values.priorityClassName -}}
{{- end -}}
{{- with $values.affinity -}}
{{- $_ := set $pod "affinity" . -}}
{{- end -}}
{{- with $values.resources -}}
{{- $_ := set $container "resources" . -}}
{{- end -}}
{{- if not $values.view.enabled -}}
{{- $args := list -}}
{{- range $container.args -}}
{{- if not (hasPrefix "--view-listen" .) -}}
{{- $args = append $args . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $container "args" $args -}}
{{- include "userquota.withoutViewPort" (dict "object" $container "field" "name" "value" "view") -}}
{{- end -}}
{{- if $values.liquid.enabled -}}
{{- include "userquota.args" (dict "root" .root "object" .object "component" "liquid") -}}
{{- end -}}
{{- if or $values.clientCA.pem $values.clientCA.configMap -}}
{{- include "userquota.mount" (dict "root" .root "object" .object "component" "client-ca") -}}
{{- with $values.clientCA.configMap -}}
{{- $_ := set (first $pod.volumes).configMap "name" . -}}
{{- end -}}
{{- with $values.clientCA.names -}}
{{- $args := list -}}
{{- range $container.args -}}
{{- if not (hasPrefix "--client-name=" .) -}}
{{- $args = append $args . -}}
{{- end -}}
{{- end -}}
{{- range . -}}
{{- $args = append $args (printf "--client-name=%s" .) -}}
{{- end -}}
{{- $_ := set $container "args" $args -}}
{{- end -}}
{{- end -}}
{{- with $values.clientTokens.secret -}}
{{- include "userquota.mount" (dict "root" $.root "object" $.object "component" "client-token") -}}
{{- $_ := set (first $pod.volumes).secret "secretName" . -}}
{{- with $values.clientTokens.key -}}
{{- $_ := set (first (first $pod.volumes).secret.items) "key" . -}}
{{- end -}}
{{- end -}}
{{- if $values.certManager.enabled -}}
{{- include "userquota.mount" (dict "root" .root "object" .object "component" "cert-manager") -}}
{{- end -}}
{{- with $values.extraArgs -}}
{{- $_ := set $container "args" (concat $container.args .) -}}
{{- end -}}
{{- end }}

{{/* What is the same for the pods of all Deployments: their image, and the nodes that they may run on. */}}
{{- define "userquota.change.pod" -}}
{{- $values := .root.Values -}}
{{- $pod := .object.spec.template.spec -}}
{{- $container := first $pod.containers -}}
{{- if hasKey $values "nodeSelector" -}}
{{- $_ := set $pod "nodeSelector" $values.nodeSelector -}}
{{- end -}}
{{- with $values.tolerations -}}
{{- $_ := set $pod "tolerations" . -}}
{{- end -}}
{{- with $values.image -}}
{{- $_ := set $container "image" (include "userquota.image" (dict "image" . "base" $container.image)) -}}
{{- with .pullPolicy -}}
{{- $_ := set $container "imagePullPolicy" . -}}
{{- end -}}
{{- with .pullSecrets -}}
{{- $secrets := list -}}
{{- range . -}}
{{- $secrets = append $secrets (dict "name" .) -}}
{{- end -}}
{{- $_ := set $pod "imagePullSecrets" $secrets -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The Deployment that takes commitments over: from where, and how often. */}}
{{- define "userquota.change.commitmentSource" -}}
{{- $source := .root.Values.commitmentSource -}}
{{- $container := first .object.spec.template.spec.containers -}}
{{- $volume := first .object.spec.template.spec.volumes -}}
{{- include "userquota.change.pod" . -}}
{{- with $source.secret -}}
{{- $_ := set $volume.secret "secretName" . -}}
{{- $_ := set (first $container.env).valueFrom.secretKeyRef "name" . -}}
{{- end -}}
{{- with $source.configMap -}}
{{- $_ := unset $volume "secret" -}}
{{- $_ := set $volume "configMap" (dict "name" .) -}}
{{- $_ := set $container "env" (rest $container.env) -}}
{{- end -}}
{{- $args := list -}}
{{- range $container.args -}}
{{- if and $source.configMap (eq . "$(SOURCE)") -}}
{{- $args = append $args (printf "%s/commitments.yaml" (first $container.volumeMounts).mountPath) -}}
{{- else if not (and $source.configMap (or (hasPrefix "--token-file=" .) (hasPrefix "--ca-file=" .))) -}}
{{- $args = append $args . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $container "args" $args -}}
{{- include "userquota.every" (dict "container" $container "every" $source.every) -}}
{{- end }}

{{/* The Deployment that serves the queue of commitments: how often. */}}
{{- define "userquota.change.commitmentQueue" -}}
{{- include "userquota.change.pod" . -}}
{{- $container := first .object.spec.template.spec.containers -}}
{{- include "userquota.every" (dict "container" $container "every" .root.Values.commitmentQueue.every) -}}
{{- end }}

{{/* Set how often a container looks again, if "every" is given. */}}
{{- define "userquota.every" -}}
{{- $every := .every -}}
{{- $args := list -}}
{{- range .container.args -}}
{{- if and $every (hasPrefix "--every=" .) -}}
{{- $args = append $args (printf "--every=%s" $every) -}}
{{- else -}}
{{- $args = append $args . -}}
{{- end -}}
{{- end -}}
{{- $_ := set .container "args" $args -}}
{{- end }}

{{/* Add what the two patches of a component add to the Deployment: mount.yaml its files, in front as kustomize
does it, args.yaml its options. */}}
{{- define "userquota.mount" -}}
{{- $pod := .object.spec.template.spec -}}
{{- $container := first $pod.containers -}}
{{- $added := (.root.Files.Get (printf "components/%s/mount.yaml" .component) | fromYaml).spec.template.spec -}}
{{- $mounts := (first $added.containers).volumeMounts -}}
{{- $_ := set $pod "volumes" (concat $added.volumes (default list $pod.volumes)) -}}
{{- $_ := set $container "volumeMounts" (concat $mounts (default list $container.volumeMounts)) -}}
{{- include "userquota.args" . -}}
{{- end }}

{{/* Add the options of a component to the Deployment. */}}
{{- define "userquota.args" -}}
{{- $container := first .object.spec.template.spec.containers -}}
{{- range .root.Files.Get (printf "components/%s/args.yaml" .component) | fromYamlArray -}}
{{- $_ := set $container "args" (append $container.args .value) -}}
{{- end -}}
{{- end }}

{{/* Return the reference of the image. Takes a dict of the value "image" and of the "base", a repository and tag. */}}
{{- define "userquota.image" -}}
{{- $repository := default (regexReplaceAll ":[^:/]*$" .base "") .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default (regexFind "[^:]*$" .base) .image.tag) -}}
{{- end -}}
{{- end }}

{{/* Take out of an object's "ports" the one with this value of a field. */}}
{{- define "userquota.withoutViewPort" -}}
{{- $field := .field -}}
{{- $value := .value -}}
{{- $ports := list -}}
{{- range .object.ports -}}
{{- if ne (toString (get . $field)) $value -}}
{{- $ports = append $ports . -}}
{{- end -}}
{{- end -}}
{{- $_ := set .object "ports" $ports -}}
{{- end }}

{{- define "userquota.change.Service" -}}
{{- if not .root.Values.view.enabled -}}
{{- include "userquota.withoutViewPort" (dict "object" .object.spec "field" "name" "value" "view") -}}
{{- end -}}
{{- end }}

{{- define "userquota.change.NetworkPolicy" -}}
{{- $ingress := first .object.spec.ingress -}}
{{- with .root.Values.networkPolicy.from -}}
{{- $_ := set $ingress "from" . -}}
{{- end -}}
{{- if not .root.Values.view.enabled -}}
{{- include "userquota.withoutViewPort" (dict "object" $ingress "field" "port" "value" "8444") -}}
{{- end -}}
{{- end }}

{{- define "userquota.change.ClusterRole" -}}
{{- if not .root.Values.view.enabled -}}
{{- $rules := list -}}
{{- range .object.rules -}}
{{- $names := default list .resourceNames -}}
{{- if not (or (has "v1alpha1.view.userquota.dev" $names) (has "extension-apiserver-authentication" $names)) -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- end -}}
{{- $_ := set .object "rules" $rules -}}
{{- end -}}
{{- end }}

{{- define "userquota.change.ConfigMap" -}}
{{- with .root.Values.policy.text -}}
{{- $_ := set $.object "data" (dict "policy.yaml" .) -}}
{{- end -}}
{{- end }}

{{/* All webhooks but the one that hears of the policy alone leave out the same namespaces. */}}
{{- define "userquota.change.webhooks" -}}
{{- $exempt := default list .root.Values.exemptNamespaces -}}
{{- range .object.webhooks -}}
{{- range .namespaceSelector.matchExpressions -}}
{{- if and (eq .key "kubernetes.io/metadata.name") (eq .operator "NotIn") -}}
{{- $_ := set . "values" (concat .values $exempt | uniq) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "userquota.change.MutatingWebhookConfiguration" -}}
{{- include "userquota.change.webhooks" . -}}
{{- end }}

{{- define "userquota.change.ValidatingWebhookConfiguration" -}}
{{- include "userquota.change.webhooks" . -}}
{{- end }}

{{- define "userquota.change.Certificate" -}}
{{- with .root.Values.certManager.issuerRef -}}
{{- $_ := set $.object.spec "issuerRef" . -}}
{{- end -}}
{{- end }}
