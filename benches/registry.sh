#!/usr/bin/env bash
# Time of moving an image of SIZE bytes to and from a registry on loopback, in one run:
#   push     `imgb push` of a layout, against `skopeo copy` to another repository
#   pull     `imgb pull` into a layout, against `skopeo copy`
#   build    `imgb pack -o docker://…`, against `imgb pack -o oci:…` and `imgb push` after it
# Each is done ROUNDS times, in turn; the table has the medians and imgb's time divided by the
# other. Half of the bytes are incompressible. With docker-registry and skopeo. IMGB is the program.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/local_registry.sh
imgb=$(realpath "${IMGB:-target/release/imgb}")
size=${SIZE:-1000000000} rounds=${ROUNDS:-3}
work=$(mktemp -d)
registry=
end() {
  [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT

start_registry

# Four layers: a directory for each part of the program, put on top of each other.
for part in 1 2 3 4; do
  mkdir -p "$work/data/$part"
  head -c $((size / 8)) /dev/urandom >"$work/data/$part/noise"
  head -c $((size / 8)) >"$work/data/$part/text" < <(yes "part $part")
done
base=()
for part in 1 2 3 4; do
  "$imgb" pack "$work/data/$part:/$part" --no-check --no-cache --no-fsync -q "${base[@]}" \
    -o "oci:$work/layout:$part" >/dev/null
  base=(--base "oci:$work/layout:$part")
done

timed() { # NAME COMMAND...
  local name=$1 start
  shift
  start=$(date +%s%N)
  "$@" >/dev/null
  echo "$name $((($(date +%s%N) - start) / 1000000))" >>"$work/times"
}
build_and_push() { # TAG
  "$imgb" pack "$work/data:/data" --no-check --no-cache -q -o "oci:$work/built:$1"
  "$imgb" push -q "oci:$work/built:$1" "$host/pushed$1:1"
}
for round in $(seq "$rounds"); do
  timed push-imgb "$imgb" push -q "oci:$work/layout:4" "$host/imgb$round:1"
  timed push-skopeo skopeo --insecure-policy copy -q --dest-tls-verify=false \
    "oci:$work/layout:4" "docker://$host/skopeo$round:1"
  timed pull-imgb "$imgb" pull -q "$host/imgb$round:1" -o "oci:$work/pulled-imgb$round:1"
  timed pull-skopeo skopeo --insecure-policy copy -q --src-tls-verify=false \
    "docker://$host/skopeo$round:1" "oci:$work/pulled-skopeo$round:1"
  timed build-imgb "$imgb" pack "$work/data:/data" --no-check --no-cache -q \
    -o "docker://$host/direct$round:1"
  timed build-then build_and_push "$round"
  rm -rf "$work/built" "$work"/pulled-*
done

python3 - "$work/times" <<'PYTHON'
import collections, statistics, sys
times = collections.defaultdict(list)
for line in open(sys.argv[1]):
    name, milliseconds = line.split()
    times[name].append(int(milliseconds) / 1000)
print("| | imgb s | other s | ratio |\n|---|---|---|---|")
for kind, other in [("push", "skopeo"), ("pull", "skopeo"), ("build", "then")]:
    one, two = (statistics.median(times[f"{kind}-{name}"]) for name in ("imgb", other))
    print(f"| {kind} against {other} | {one:.2f} | {two:.2f} | {one / two:.2f} |")
PYTHON
