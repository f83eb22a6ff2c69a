#!/bin/sh
# What the program needs of npm on a platform, its Node and its PostgreSQL among it: `install-dependencies.sh ARCHITECTURE ROOT` (Debian's name).
# Leaves their inventory in /image/npm.spdx.json.
set -eu
case $1 in
amd64) cpu=x64 ;;
arm64) cpu=arm64 ;;
*)
  echo "There is no Wharfinger for $1: npm has its Node and its PostgreSQL for amd64 and arm64." >&2
  exit 1
  ;;
esac
npm ci --omit=dev --include=optional --ignore-scripts --os=linux --cpu="$cpu" --libc=glibc --no-update-notifier
# An inventory that knew of them would miss them.
npm pkg delete devDependencies
mkdir -p /image
npm sbom --sbom-format=spdx --os=linux --cpu="$cpu" --libc=glibc >/image/npm.spdx.json
node "$(dirname "$0")/place-dependencies.mjs" "$2"
rm -r node_modules
