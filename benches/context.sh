#!/usr/bin/env bash
# Time and peak memory of a build from a context of 100,000 files, half of which are ignored:
#   imgb     `imgb build`, cold (nothing cached), then again with its cache
#   docker   `docker build` with the classic builder and a separate dockerd (--storage-driver=vfs),
#            with the peak memory of client and daemon
#   buildah  `buildah bud`, then `buildah push`; the others write the image as they build, or not
# As root, with docker.io and buildah. IMGB is the program, COUNT the number of files.
set -euo pipefail
cd "$(dirname "$0")/.."
imgb=$(realpath "${IMGB:-target/release/imgb}")
count=${COUNT:-100000}
PATH=/usr/sbin:/usr/bin:/sbin:/bin
work=$(mktemp -d)
daemon=
end() {
  [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT

python3 - "$work/ctx" "$count" <<'PYTHON'
import os, sys
root, count = sys.argv[1], int(sys.argv[2])
for at in range(count):
    directory = f"{root}/src/m{at // 1000}/p{at // 100 % 10}"
    if at % 100 == 0:
        os.makedirs(directory)
    kind = "txt" if at % 2 else "log"
    with open(f"{directory}/f{at}.{kind}", "w") as file:
        file.write(f"file {at}\n" * 10)
rules = ["**/*.log", "!**/p3/*.log", "src/m9*/p1", ".git", "**/node_modules", ""]
open(root + "/.dockerignore", "w").write("\n".join(rules))
open(root + "/Dockerfile", "w").write("FROM scratch\nCOPY . /app/\n")
PYTHON

measured() {
  local name=$1
  shift
  python3 - "$name" "$@" <<'PYTHON'
import os, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
print(f"{sys.argv[1]:32} {wall:7.2f} s wall {cpu:7.2f} s CPU {usage.ru_maxrss / 1024:7.0f} MiB")
PYTHON
}

measured "imgb, cold" "$imgb" build "$work/ctx" -q --no-check --no-cache -o "$work/imgb.tar"
"$imgb" build "$work/ctx" -q --no-check --cache "$work/cache" -o "$work/imgb.tar" >/dev/null
measured "imgb, layers cached" \
  "$imgb" build "$work/ctx" -q --no-check --cache "$work/cache" -o "$work/imgb.tar"

echo '{}' >"$work/daemon.json"
dockerd --config-file="$work/daemon.json" --data-root="$work/data" --exec-root="$work/exec" \
  --pidfile="$work/pid" --host="unix://$work/sock" --storage-driver=vfs --bridge=none \
  --iptables=false --ip-forward=false --ip-masq=false \
  >"$work/log" 2>&1 &
daemon=$!
export DOCKER_HOST=unix://$work/sock DOCKER_CONFIG=$work DOCKER_BUILDKIT=0
until docker version >/dev/null 2>&1; do sleep 0.2; done
measured "docker build (the client)" docker build -q -t imgb-context "$work/ctx"
awk '/^VmHWM/ { printf "%-32s %38.0f MiB\n", "  dockerd, at its peak", $2 / 1024 }' \
  "/proc/$daemon/status"
awk '{ printf "%-32s %18.2f s CPU\n", "  dockerd", ($14 + $15) / 100 }' "/proc/$daemon/stat"

store=(buildah --storage-driver vfs --root "$work/root" --runroot "$work/run")
measured "buildah bud" "${store[@]}" bud -q -t imgb-context "$work/ctx"
measured "buildah push docker-archive:" \
  "${store[@]}" push -q imgb-context "docker-archive:$work/buildah.tar:imgb-context:latest"
