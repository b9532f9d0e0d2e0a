#!/usr/bin/env bash
# Builds and tests the image without a daemon. buildah builds it on a debootstrapped replacement of the official base; runc runs it as
# uid 10001 with a read-only root and no capabilities. The container must migrate, serve, answer the documented curl commands, report its
# health, and on SIGTERM finish a running request and stop.
#
# Needs root, and once: apt-get install --no-install-recommends buildah debootstrap runc
# With --if-possible it installs them itself; a machine that cannot run the check (no root, apt, network or containers) skips it with
# exit code 0. An image that was built and does not work always fails.
# Files stay below IMAGE_CHECK_DIR, so that the second run is faster; delete that folder to start from scratch.
set -euo pipefail
cd "$(dirname "$0")/.."
work="${IMAGE_CHECK_DIR:-/var/tmp/licentia-image-check}"
suite="${IMAGE_CHECK_SUITE:-bookworm}"
port="${IMAGE_CHECK_PORT:-18437}"
paths=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
certificates=/etc/ssl/certs/ca-certificates.crt
base=localhost/python:stand-in
image=localhost/licentia:check
name="licentia-check-$$"
container=""

if_possible=""
[ "${1:-}" != --if-possible ] || if_possible=yes

say() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
# The machine cannot run the check: a failure, or with --if-possible a skip.
cannot() {
    [ "$if_possible" ] || fail "$*"
    printf 'image-check: not run here: %s\n' "$*"
    exit 0
}
b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver "${IMAGE_CHECK_DRIVER:-overlay}" "$@"; }

clean_up() {
    runc delete --force "$name" >/dev/null 2>&1 || true
    if [ -n "$container" ]; then b rm "$container" >/dev/null 2>&1 || true; fi
}
trap clean_up EXIT

has_tools() {
    local tool
    for tool in buildah debootstrap runc openssl; do command -v "$tool" >/dev/null || return 1; done
}

check_machine() {
    [ "$(id -u)" = 0 ] || cannot "it needs root"
    mkdir -p "$work"
    if ! has_tools && [ "$if_possible" ]; then
        command -v apt-get >/dev/null || cannot "apt-get, which would install buildah, debootstrap and runc, is missing"
        { timeout 120 apt-get -qq update && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq install -y --no-install-recommends \
            buildah debootstrap runc openssl; } >"$work/apt.log" 2>&1 || cannot "buildah, debootstrap and runc cannot be installed; see $work/apt.log"
    fi
    has_tools || cannot "buildah, debootstrap and runc are missing"
    [ -e "$work/base.done" ] || bootstrap || cannot "the base cannot be created; see $work/debootstrap.log"
    [ "$(b images --quiet "$base" 2>/dev/null)" ] || commit_base || cannot "buildah does not work here"
    chroot "$work/base" /usr/bin/env -u PIP_CONFIG_FILE PATH=$paths SSL_CERT_FILE=$certificates PIP_CERT=$certificates \
        timeout 60 python3 -m pip --quiet index versions uv >/dev/null 2>&1 || cannot "the package index is not reachable from the base"
    can_start_container || cannot "runc cannot start a container; see $work/start.log"
}

# Whether runc can start a container at all: the base itself with /bin/true.
can_start_container() {
    container="$(b from --pull-never "$base")"
    mount="$(b mount "$container")"
    mkdir -p "$work/bundle" "$work/nothing"
    printf '{"Docker": {"config": {"User": "10001:10001", "Entrypoint": ["/bin/true"], "Cmd": [], "Env": [], "WorkingDir": "/"}}}' \
        | python3 deploy/bundle.py --root "$mount" --data "$work/nothing" >"$work/bundle/config.json"
    timeout 30 runc run --bundle "$work/bundle" "$name" >"$work/start.log" 2>&1 || return 1
    b rm "$container" >/dev/null
    container=""
}

# The base contains this machine's certificates, so that the Dockerfile needs no line for them.
bootstrap() {
    rm -rf "$work/base"
    timeout 600 debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip "$suite" "$work/base" \
        >"$work/debootstrap.log" 2>&1 || return 1
    rm -rf "$work"/base/var/cache/apt/* "$work"/base/var/lib/apt/lists/* "$work"/base/usr/share/{doc,man,locale}
    cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$work/base$certificates"
    mkdir -p "$work/base/data"
    touch "$work/base.done"
}

commit_base() {
    local scratch
    scratch="$(b from scratch)" || return 1
    b copy --quiet "$scratch" "$work/base" / >/dev/null || return 1
    b config --env PATH=$paths --env LANG=C.UTF-8 --env SSL_CERT_FILE=$certificates --env PIP_CERT=$certificates "$scratch" || return 1
    b commit --quiet --rm "$scratch" "$base" >/dev/null
}

build() {
    b bud --isolation chroot --format docker --layers=false --build-arg "PYTHON_IMAGE=$base" --tag "$image" . >"$work/build.log" 2>&1 \
        || { tail -40 "$work/build.log"; fail "the build failed; see $work/build.log"; }
}

# Write the OCI bundle for a command; everything else comes from the image's configuration.
prepare() { # data folder, secrets folder or nothing, command…
    local data="$1" secrets="$2"
    shift 2
    mkdir -p "$work/bundle"
    b inspect --type image "$image" | python3 deploy/bundle.py --root "$mount" --data "$data" \
        ${secrets:+--secrets "$secrets" --env LICENTIA_ENCRYPTION_KEYS_FILE=/run/secrets/encryption_keys} \
        ${secrets:+--env LICENTIA_LOOKUP_KEY_FILE=/run/secrets/lookup_key} --env "LICENTIA_PORT=$port" --env "LICENTIA_PUBLIC_URL=http://127.0.0.1:$port" -- "$@" >"$work/bundle/config.json"
}

run() { runc run --bundle "$work/bundle" "$name"; }
is_healthy() { runc exec "$name" /opt/venv/bin/python -m app health >/dev/null 2>&1; }
status() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$(runc state "$name" | awk -F'[:,]' '/"pid"/ {print $2+0}')/status"; }

stops_within() { # most seconds
    local code=0 started=$SECONDS
    wait "$server" || code=$?
    [ $((SECONDS - started)) -le "$1" ] || fail "it took $((SECONDS - started)) s to stop"
    [ "$code" = 143 ] || [ "$code" = 0 ] || fail "exit code $code"
    echo "exit code $code after $((SECONDS - started)) s"
}

say "base"
check_machine
say "build"
build
container="$(b from --pull-never "$image")"
mount="$(b mount "$container")"
echo "image $(du -sm "$mount" | cut -f1) MB, packages $(du -sm "$mount/opt/venv" | cut -f1) MB, source $(du -sm "$mount/srv" | cut -f1) MB"
[ "$(find "$mount/srv/licentia" "$mount/opt/venv" -writable -uid 10001 | wc -l)" = 0 ] || fail "the user can write files of the program"
unexpected="$(find "$mount/srv/licentia" -mindepth 1 -maxdepth 1 -printf '%f ' | tr ' ' '\n' | grep -vxE 'alembic.ini|app|migrations|' || true)"
[ -z "$unexpected" ] || fail "unexpected in the image: $unexpected"

rm -rf "$work/data" "$work/secrets"
install -d -o 10001 -g 10001 -m 0700 "$work/data"
deploy/make-secrets.sh "$work/secrets" >/dev/null
chmod 0755 "$work/secrets"

say "without secrets it exits with 78 and names the missing setting"
prepare "$work/data" "" serve
code=0
run >"$work/refused.log" 2>&1 || code=$?
[ "$code" = 78 ] || fail "exit code $code instead of 78"
grep -q LICENTIA_LOOKUP_KEY "$work/refused.log" || fail "the missing setting is not named"

say "migrate"
prepare "$work/data" "$work/secrets" migrate
run

say "serve"
prepare "$work/data" "$work/secrets"
run >"$work/serve.log" 2>&1 &
server=$!
for _ in $(seq 100); do
    is_healthy && break
    kill -0 "$server" 2>/dev/null || { cat "$work/serve.log"; fail "the server has stopped"; }
    sleep 0.2
done
is_healthy || fail "not healthy"
[ "$(status Uid)" = 10001 ] || fail "uid $(status Uid)"
[ "$(status CapEff)" = 0000000000000000 ] || fail "capabilities $(status CapEff)"
[ "$(status NoNewPrivs)" = 1 ] || fail "NoNewPrivs is not set"
! runc exec "$name" /opt/venv/bin/python -c 'open("/srv/licentia/x", "w")' 2>/dev/null || fail "the root file system is writable"
[ "$(stat -c %u "$work/data/licentia.db")" = 10001 ] || fail "the database is not in /data, or has the wrong owner"

say "the documented curl commands"
python=.venv/bin/python
[ -x "$python" ] || fail "the replay needs .venv; run make image-check"
rm -rf "$work/session"
mkdir -p "$work/session/var"
runc exec "$name" /opt/venv/bin/python -m app api-keys create root --scope '*' >"$work/session/var/operator.key"
"$python" -m tests.docs.replay "http://127.0.0.1:$port" "$work/session" || fail "the replay failed; its responses are in $work/session"

say "SIGTERM during a request"
python3 deploy/in_flight.py "$port" "$work/session/var/operator.key" runc kill "$name" TERM || fail "the request was aborted"
stops_within 8

say "SIGTERM during the start"
run >"$work/start.log" 2>&1 &
server=$!
until runc state "$name" 2>/dev/null | grep -q '"running"'; do sleep 0.02; done
sleep 0.2
runc kill "$name" TERM
stops_within 4
b rmi --prune >/dev/null 2>&1 || true
say "the image passed"
