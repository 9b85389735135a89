#!/usr/bin/env bash
# The shell suite that e2e-matrix replaces: one kind cluster, one phase after another, with kubectl, curl, jq and a poll
# every five seconds. `make bench-kind` measures it as the column `script`. It uses the manifests of this repository, and
# exits with 0 if every phase passes, otherwise with 1.
#
# Variables: CLUSTER_NAME  the name of the cluster (default: plexd-e2e). An existing cluster with this name is deleted!
#            TIMEOUT       how long the DaemonSet may take to become ready (default: 120s)
#            NODE_IMAGE    the node image (default: the one of kind)
#            AGENT_IMAGE, MOCK_IMAGE
#                          images that exist in the engine; without them, both are built from source
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CLUSTER_NAME=${CLUSTER_NAME:-plexd-e2e}
readonly TIMEOUT=${TIMEOUT:-120s}
readonly NODE_IMAGE=${NODE_IMAGE:-}
readonly NAMESPACE=plexd-e2e
readonly PORT=18080
readonly MOCK=http://localhost:$PORT
readonly POLL=5

agent_image=${AGENT_IMAGE:-}
mock_image=${MOCK_IMAGE:-}
forward=
created=

# Use a separate kubeconfig, so that the user's own is not changed.
folder=$(mktemp -d)
export KUBECONFIG=$folder/kubeconfig

log() { printf '== %s\n' "$*"; }

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

print_diagnostics() {
  kubectl get pods -n "$NAMESPACE" -o wide || true
  kubectl describe daemonset/plexd -n "$NAMESPACE" || true
  kubectl logs -n "$NAMESPACE" -l app.kubernetes.io/name=plexd --tail=50 || true
  kubectl logs -n "$NAMESPACE" -l app.kubernetes.io/name=mock-api --tail=50 || true
}

cleanup() {
  local status=$?
  trap - EXIT
  set +e
  if [[ -n $forward ]]; then
    kill "$forward" 2>/dev/null
    wait "$forward" 2>/dev/null
  fi
  if [[ -n $created ]]; then
    ((status == 0)) || print_diagnostics >&2
    kind delete cluster --name "$CLUSTER_NAME" || status=1
  fi
  rm -rf "$folder"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# poll SECONDS MESSAGE COMMAND...: runs the command every five seconds until it succeeds.
poll() {
  local deadline=$((SECONDS + $1)) message=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || fail "$message"
    sleep "$POLL"
  done
}

# counters FILTER: whether the jq filter holds for the counters of the mock.
counters() {
  curl -fsS --max-time 5 "$MOCK/test/assertions" 2>/dev/null | jq -e "$1" >/dev/null
}

# counter NAME: prints the value of one counter.
counter() {
  curl -fsS --max-time 5 "$MOCK/test/assertions" | jq -er ".$1"
}

# body ENDPOINT FILTER: fails unless the jq filter holds for the last body of the endpoint.
body() {
  curl -fsS --max-time 5 "$MOCK/test/last-request/$1" | jq -e "$2" >/dev/null || fail "the body of $1 does not meet: $2"
}

# pod: prints the name of the agent's pod.
pod() {
  kubectl get pods -n "$NAMESPACE" -l app.kubernetes.io/name=plexd -o 'jsonpath={.items[0].metadata.name}' 2>/dev/null
}

# replaced POD: whether another pod has replaced this pod of the agent.
replaced() {
  local new
  new=$(pod) && [[ -n $new && $new != "$1" ]]
}

# applied FILE SED...: applies the manifest after changing it with sed.
applied() {
  local file=$1
  shift
  kubectl create --dry-run=client -o yaml -f "$file" | sed "$@" | kubectl apply -f -
}

log '1. preflight checks'
for tool in kind kubectl docker curl jq; do
  command -v "$tool" >/dev/null || fail "$tool is not on the PATH"
done

log '2. cluster creation'
kind delete cluster --name "$CLUSTER_NAME"
created=yes
kind create cluster --name "$CLUSTER_NAME" ${NODE_IMAGE:+--image "$NODE_IMAGE"} --wait 60s

log '3. image build and load'
if [[ -z $agent_image ]]; then
  agent_image=plexd:e2e
  docker build -t "$agent_image" -f deploy/docker/agent.Dockerfile .
fi
if [[ -z $mock_image ]]; then
  mock_image=mockapi:e2e
  docker build -t "$mock_image" -f deploy/docker/mock-api.Dockerfile .
fi
kind load docker-image "$mock_image" --name "$CLUSTER_NAME"
kind load docker-image "$agent_image" --name "$CLUSTER_NAME"

log '4. manifest application'
readonly IN_NAMESPACE="s|namespace: plexd-system|namespace: $NAMESPACE|"
readonly NEVER_PULL='s|imagePullPolicy: .*|imagePullPolicy: Never|'
kubectl create namespace "$NAMESPACE"
kubectl apply -f deploy/kubernetes/crds/plexdnodestate-crd.yaml
kubectl apply -f deploy/kubernetes/crds/plexdhook-crd.yaml
applied deploy/kubernetes/serviceaccount.yaml -e "$IN_NAMESPACE"
applied deploy/kubernetes/rbac.yaml -e "$IN_NAMESPACE"
kubectl create secret generic plexd-bootstrap -n "$NAMESPACE" --from-literal=token=e2e-test-token
cat >"$folder/config.yaml" <<CONFIG
api:
  base_url: http://mock-api.$NAMESPACE:8080
registration:
  data_dir: /var/lib/plexd
node_api:
  data_dir: /var/lib/plexd
heartbeat:
  node_id: e2e-k8s-node
metrics:
  local_endpoint:
    url: https://mock-api.$NAMESPACE:8443/local/metrics
    secret_key: local-bearer-token
    tls_insecure_skip_verify: true
log_fwd:
  local_endpoint:
    url: https://mock-api.$NAMESPACE:8443/local/logs
    secret_key: local-bearer-token
    tls_insecure_skip_verify: true
audit_fwd:
  local_endpoint:
    url: https://mock-api.$NAMESPACE:8443/local/audit
    secret_key: local-bearer-token
    tls_insecure_skip_verify: true
CONFIG
kubectl create configmap plexd-config -n "$NAMESPACE" --from-file="$folder/config.yaml"
applied deploy/mock-api/mock-api.yaml -e "$IN_NAMESPACE" -e "$NEVER_PULL" -e "s|image: .*|image: $mock_image|"
applied deploy/kubernetes/daemonset.yaml -e "$IN_NAMESPACE" -e "$NEVER_PULL" -e "s|image: .*|image: $agent_image|"

log '5. readiness wait'
kubectl rollout status -n "$NAMESPACE" deployment/mock-api --timeout=60s
kubectl rollout status -n "$NAMESPACE" daemonset/plexd --timeout="$TIMEOUT"

log '6. port-forward and initial assertions'
kubectl port-forward -n "$NAMESPACE" svc/mock-api "$PORT:8080" >"$folder/forward.log" 2>&1 &
forward=$!
sleep 2
poll 60 'not all of the eight counters are >= 1 after 60 s' counters \
  '[.registration_count, .heartbeat_count, .state_count, .capabilities_count, .drift_count, .metrics_count, .logs_count, .audit_count] | all(. >= 1)'

log '7. request body validation'
body register '(.token | length > 0) and (.hostname | length > 0)'
body heartbeat 'has("timestamp")'
body capabilities '.builtin_actions | length >= 1'

log '8. periodic loop verification'
poll 60 'heartbeat_count and metrics_count are not >= 2 after 60 s' counters '.heartbeat_count >= 2 and .metrics_count >= 2'

log '9. pod restart resilience'
heartbeats=$(counter heartbeat_count)
audits=$(counter audit_count)
old=$(pod)
kubectl delete pod -n "$NAMESPACE" "$old"
poll 60 'the DaemonSet has created no new pod after 60 s' replaced "$old"
kubectl wait -n "$NAMESPACE" --for=condition=Ready pod -l app.kubernetes.io/name=plexd --timeout=60s
poll 60 'heartbeats have not resumed after 60 s' counters ".heartbeat_count > $heartbeats"
poll 60 'audit_count has not increased after 60 s' counters ".audit_count > $audits"

log '10. local endpoint delivery'
poll 60 'not all local counters are >= 1 after 60 s' counters \
  '[.local_metrics_count, .local_logs_count, .local_audit_count] | all(. >= 1)'

log 'passed'
