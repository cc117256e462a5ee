#!/usr/bin/env bash
# Time that a dockerd of its own takes to pull an image of LAYERS layers (default 16) from a
# registry on loopback, against the same files in two: medians of ROUNDS pulls in turn (default 5).
# The files are SIZE bytes (default 600 MB) of packages of npm, half of them incompressible. As
# root, with docker and docker-registry. IMGB is the program, DRIVER docker's storage driver
# (default overlay2).
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/local_registry.sh
imgb=$(realpath "${IMGB:-target/release/imgb}")
size=${SIZE:-600000000} rounds=${ROUNDS:-5} layers=${LAYERS:-16}
work=$(mktemp -d)
daemon= registry=
end() {
  for pid in $daemon $registry; do
    kill "$pid" && wait "$pid" || true
  done 2>/dev/null
  rm -rf "$work"
}
trap end EXIT
export DOCKER_HOST=unix://$work/sock DOCKER_CONFIG=$work

start_registry
echo '{}' >"$work/daemon.json"
dockerd --config-file="$work/daemon.json" --data-root="$work/data" --exec-root="$work/exec" \
  --pidfile="$work/pid" --host="$DOCKER_HOST" --storage-driver="${DRIVER:-overlay2}" \
  --bridge=none --iptables=false --ip-forward=false --ip-masq=false >"$work/docker.log" 2>&1 &
daemon=$!
for _ in $(seq 600); do
  docker version >/dev/null 2>&1 && break
  sleep 0.1
done

# 40 large packages, small ones, and an application beside them. The two layers are those of two
# instructions.
for package in $(seq 40); do
  mkdir -p "$work/app/node_modules/p$package"
  head -c $((size / 80)) /dev/urandom >"$work/app/node_modules/p$package/noise"
  head -c $((size / 80)) >"$work/app/node_modules/p$package/text" < <(yes "package $package")
done
for package in $(seq 41 140); do
  mkdir -p "$work/app/node_modules/p$package"
  head -c $((package * 1000)) /dev/urandom >"$work/app/node_modules/p$package/noise"
done
mkdir "$work/main"
echo 'console.log(1)' >"$work/main/main.js"
name=$host/pulled
"$imgb" pack "$work/app:/app" "$work/main:/app" --no-check --no-cache -q \
  --max-layers "$layers" -o "docker://$name:$layers" >"$work/digest"
printf 'FROM scratch\nCOPY app /app\nCOPY main /app\n' >"$work/Buildfile"
printf '*\n!app\n!main\n' >"$work/.dockerignore"
"$imgb" build "$work" --layers one --no-check --no-cache -q -o "docker://$name:2" >"$work/digest"

for round in $(seq "$rounds"); do
  for tag in 2 "$layers"; do
    start=$(date +%s%N)
    docker pull -q "$name:$tag" >/dev/null
    echo "$tag $((($(date +%s%N) - start) / 1000000))" >>"$work/times"
    found=$(docker image inspect -f '{{len .RootFS.Layers}}' "$name:$tag")
    [ "$found" = "$tag" ]
    docker image rm -f "$name:$tag" >/dev/null
    echo "round $round: $found layers, $(tail -1 "$work/times" | cut -d' ' -f2) ms"
  done
done
python3 - "$work/times" "$layers" <<'MEDIANS'
import statistics, sys
times = {}
for line in open(sys.argv[1]):
    tag, time = line.split()
    times.setdefault(tag, []).append(int(time))
two, many = (statistics.median(times[tag]) for tag in ("2", sys.argv[2]))
print(f"2 layers: {two:.0f} ms; {sys.argv[2]} layers: {many:.0f} ms: {many / two:.2f} times")
MEDIANS
