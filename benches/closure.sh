#!/usr/bin/env bash
# The closures of all dynamic programs of /usr/bin and /usr/sbin: imgb compared with common tools.
# The tools run in turn, so that other load affects all of them alike. The table has the medians.
#
#   benches/closure.sh [ROUNDS]     3 by default; needs ldd, lddtree (pax-utils,
#                                   python3-pyelftools), libtree, cargo
#   IMGB=FILE                       measures that build instead of building one
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
export LC_ALL=C
# Debian's own tools before additional ones of the machine: lddtree is a Python program.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

for tool in ldd lddtree libtree cargo readelf; do
  command -v "$tool" >/dev/null && continue
  echo "closure.sh: no $tool here (packages pax-utils, libtree)" >&2
  exit 3
done
if ! lddtree /bin/ls >/dev/null; then
  echo "closure.sh: lddtree does not work (package python3-pyelftools)" >&2
  exit 3
fi
imgb=${IMGB:-target/release/imgb}
[ -n "${IMGB:-}" ] || cargo build --release --locked --quiet
cargo build --release --locked --quiet --manifest-path benches/lddtree/Cargo.toml
crate=benches/lddtree/target/release/lddtree-batch

# Dynamic programs: regular files with an interpreter.
programs=()
for file in /usr/bin/* /usr/sbin/*; do
  [ -f "$file" ] && [ ! -L "$file" ] || continue
  if [[ $(readelf -lW "$file" 2>/dev/null) == *'Requesting program interpreter'* ]]; then
    programs+=("$file")
  fi
done

ldd_loop() { for program in "${programs[@]}"; do ldd "$program"; done; }
tools=(imgb imgb_list ldd lddtree crate libtree)
declare -A command=(
  [imgb]="$imgb deps" [imgb_list]="$imgb deps --list" [ldd]=ldd_loop [lddtree]=lddtree
  [crate]="$crate" [libtree]=libtree
)
declare -A label=(
  [imgb]='imgb deps, one tree each' [imgb_list]='imgb deps --list' [ldd]='ldd, a loop'
  [lddtree]='lddtree, one call' [crate]='lddtree crate, one process'
  [libtree]='libtree, one process'
)
# How many times faster imgb has to be; less than 1 if it may be slower.
declare -A target=([ldd]=60 [lddtree]=150 [crate]=6 [libtree]=0.5)

once() { # TOOL: prints wall clock and CPU seconds
  local tool=$1 TIMEFORMAT='%R %U %S' args=("${programs[@]}")
  [ "$tool" = ldd ] && args=()
  { time ${command[$tool]} "${args[@]}" >/dev/null 2>&1 || true; } 2>&1 |
    awk '{ printf "%.3f %.3f\n", $1, $2 + $3 }'
}

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
for tool in imgb imgb_list libtree crate; do once "$tool" >/dev/null; done # warm
for ((round = 0; round < rounds; round++)); do
  for tool in "${tools[@]}"; do once "$tool" >>"$data/$tool"; done
done

wall() { cut -d' ' -f1 "$data/$1" | median; }
cpu() { cut -d' ' -f2 "$data/$1" | median; }
base_wall=$(wall imgb) base_cpu=$(cpu imgb)
echo "${#programs[@]} programs, medians of $rounds rounds; load $(cut -d' ' -f1-3 /proc/loadavg)"
printf '%-28s %9s %9s %9s %9s %6s\n' what wall/s cpu/s 'x wall' 'x cpu' target
for tool in "${tools[@]}"; do
  printf '%-28s %9.3f %9.3f %9s %9s %6s\n' "${label[$tool]}" "$(wall "$tool")" "$(cpu "$tool")" \
    "$(awk -v a="$(wall "$tool")" -v b="$base_wall" 'BEGIN { printf "%.1f", a / b }')" \
    "$(awk -v a="$(cpu "$tool")" -v b="$base_cpu" 'BEGIN { printf "%.1f", a / b }')" \
    "${target[$tool]:-}"
done
