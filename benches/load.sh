#!/usr/bin/env bash
# Bytes that `imgb load` hands to a dockerd of its own for an image of SIZE bytes of which a small
# layer changed, against `docker load` of the whole archive. As root, with docker. IMGB is the
# program.
set -euo pipefail
cd "$(dirname "$0")/.."
imgb=$(realpath "${IMGB:-target/release/imgb}")
size=${SIZE:-500000000}
work=$(mktemp -d)
daemon=
end() {
  [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT
export DOCKER_HOST=unix://$work/sock DOCKER_CONFIG=$work

echo '{}' >"$work/daemon.json"
dockerd --config-file="$work/daemon.json" --data-root="$work/data" --exec-root="$work/exec" \
  --pidfile="$work/pid" --host="$DOCKER_HOST" --storage-driver=vfs --bridge=none \
  --iptables=false --ip-forward=false --ip-masq=false >"$work/log" 2>&1 &
daemon=$!
for _ in $(seq 600); do
  docker version >/dev/null 2>&1 && break
  sleep 0.1
done

mkdir "$work/large" "$work/small"
head -c "$size" /dev/urandom >"$work/large/noise"
pack() { # VERSION
  echo "version $1" >"$work/small/version"
  printf 'FROM scratch\nCOPY large /large\nCOPY small /small\n' >"$work/Buildfile"
  "$imgb" build "$work" -q --no-check --cache "$work/cache" --compress gzip:1 -t measured:1 \
    -o "$work/image.tar" >/dev/null
}
pack 1
docker load -q -i "$work/image.tar"
whole=$(stat -c %s "$work/image.tar")
pack 2
sent=$("$imgb" load "$work/image.tar" --engine docker -q --json |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["images"][0]["sent"])')
echo 'version 2' | cmp - <(docker save measured:1 | python3 -c '
import io, json, sys, tarfile
image = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()))
manifest = json.load(image.extractfile("manifest.json"))[0]
layer = tarfile.open(fileobj=image.extractfile(manifest["Layers"][-1]))
sys.stdout.buffer.write(layer.extractfile("small/version").read())')
echo "docker load: $whole bytes; imgb load: $sent bytes; $(python3 -c \
  "print(f'{100 * $sent / $whole:.4f}')") %"
