# Sourced by benches that need a registry.

# Starts a docker-registry on loopback that keeps its data below $work. Sets $registry, its process,
# and $host, where it listens.
start_registry() {
  cat >"$work/config.yml" <<CONFIG
version: 0.1
storage:
  filesystem:
    rootdirectory: $work/registry
http:
  addr: 127.0.0.1:0
CONFIG
  docker-registry serve "$work/config.yml" >"$work/log" 2>&1 &
  registry=$!
  local port=
  for _ in $(seq 600); do
    port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' "$work/log" | head -1)
    [ -z "$port" ] || break
    sleep 0.1
  done
  host=127.0.0.1:$port
}
