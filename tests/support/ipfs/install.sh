#!/bin/sh
# Installs the daemon that the tests marked `ipfs` talk to: npm's ipfs-daemon (js-ipfs 0.16), into .cache/ipfs.
# It takes some minutes the first time and nothing afterwards.
#
#     sh tests/support/ipfs/install.sh && .venv/bin/python -m pytest -m ipfs
set -eu
cd "$(dirname "$0")/../../.."
folder=.cache/ipfs
if [ -f "$folder/node_modules/ipfs-daemon/package.json" ]; then
    echo "ipfs-daemon is installed in $folder"
    exit 0
fi
mkdir -p "$folder"
printf '{"name": "veilmark-ipfs-tests", "private": true}\n' > "$folder/package.json"
# --ignore-scripts: the optional native parts (WebRTC) are not needed on loopback
npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts ipfs-daemon@0.16.1
