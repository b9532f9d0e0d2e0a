#!/usr/bin/env bash
# Create the secrets of deploy/compose.yaml in var/secrets. Existing files are never changed.
#
# Only the owner may enter the folder. The files are world-readable, because compose mounts each of them with its mode into containers
# that run as other users.
set -euo pipefail
umask 077
folder="${1:-$(dirname "$0")/../var/secrets}"
mkdir -p "$folder"
chmod 0700 "$folder"

create() { # name, value
    if [ ! -e "$folder/$1" ]; then
        printf '%s' "$2" >"$folder/$1"
        chmod 0644 "$folder/$1"
        echo "created $folder/$1"
    fi
}

create encryption_keys "k1:$(openssl rand -base64 32)"
create lookup_key "$(openssl rand -base64 32)"
create postgres_password "$(openssl rand -hex 32)"
create database_url "postgresql://licentia:$(cat "$folder/postgres_password")@postgres/licentia"
