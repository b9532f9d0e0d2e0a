#!/usr/bin/env bash
# Makes the secrets of deploy/compose.yaml once, in var/secrets. What is there already is never touched.
#
# The folder is for its owner alone; the files in it are readable, because compose mounts them one by one, as they are, for
# users of other numbers inside the containers.
set -euo pipefail
umask 077
folder="${1:-$(dirname "$0")/../var/secrets}"
mkdir -p "$folder"
chmod 0700 "$folder"

keep() { # name, value
    if [ ! -e "$folder/$1" ]; then
        printf '%s' "$2" >"$folder/$1"
        chmod 0644 "$folder/$1"
        echo "made $folder/$1"
    fi
}

keep encryption_keys "k1:$(openssl rand -base64 32)"
keep lookup_key "$(openssl rand -base64 32)"
keep postgres_password "$(openssl rand -hex 32)"
keep database_url "postgresql://licentia:$(cat "$folder/postgres_password")@postgres/licentia"
