#!/usr/bin/env bash
# Sizes of images, in MB of file content, compared with other ways to run the program:
#   imgb     `imgb pack PROGRAM` with its defaults
#   bare     the same with --soft none: the loader's libraries alone
#   lddtree  `lddtree --copy-to-tree` of pax-utils, which many programs do not run in
#   apt      the installed sizes of the packages that apt would install for it into an empty root,
#            without recommended ones
# Needs Debian, pax-utils and apt's lists. Arguments are programs; the default is a selection like
# that of tests/it/programs.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
imgb=${IMGB:-target/release/imgb}
PATH=/usr/sbin:/usr/bin:/sbin:/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=(
  true busybox bash getent date curl git openssl ssh-keygen python3 perl ruby node java php sqlite3
  psql redis-server nginx ffmpeg convert gawk jq gdb gpg tmux file xz rsync wget dig iptables
  gst-launch-1.0 gio
)

# Content of the regular files of a tar, each hard-linked file once.
content() { tar -tvf "$1" | awk '$1 ~ /^-/ { sum += $3 } END { print sum + 0 }'; }

packages_of() {
  local package file
  file=$(readlink -f "$1")
  # dpkg knows merged directories by their old names.
  package=$({ dpkg -S "$file" || dpkg -S "${file#/usr}"; } 2>/dev/null | sed -n '1s/:.*//p') || true
  [ -n "$package" ] || return 0
  apt-get -s -o Dir::State::status=/dev/null -o APT::Architecture="$(dpkg --print-architecture)" \
    install --no-install-recommends "$package" 2>/dev/null |
    sed -n 's/^Inst \([^ ]*\).*/\1/p' || true
}

apt_size() {
  local packages
  packages=$(packages_of "$1")
  [ -n "$packages" ] || { echo 0; return; }
  # shellcheck disable=SC2086 # one word per package
  apt-cache show --no-all-versions $packages |
    awk '/^Installed-Size:/ { sum += $2 * 1024 } END { print sum + 0 }'
}

printf '%-16s %8s %8s %8s %8s\n' program imgb bare lddtree apt
for program in "${programs[@]}"; do
  path=$(type -P "$program") || { echo "$program is not installed" >&2; continue; }
  "$imgb" pack "$program" --quiet -o "rootfs:$work/imgb.tar" >/dev/null 2>&1
  "$imgb" pack "$program" --soft none --quiet -o "rootfs:$work/bare.tar" >/dev/null 2>&1
  rm -rf "$work/tree"
  lddtree --copy-to-tree "$work/tree" "$(readlink -f "$path")" >/dev/null 2>&1 || true
  mkdir -p "$work/tree" # a script has no libraries
  tree=$(find "$work/tree" -type f -printf '%s\n' 2>/dev/null |
    awk '{ sum += $1 } END { print sum + 0 }')
  sizes="$(content "$work/imgb.tar") $(content "$work/bare.tar") $tree $(apt_size "$path")"
  echo "$program $sizes" |
    awk '{ printf "%-16s %8.1f %8.1f %8.1f %8.1f\n", $1, $2 / 1e6, $3 / 1e6, $4 / 1e6, $5 / 1e6 }'
done
