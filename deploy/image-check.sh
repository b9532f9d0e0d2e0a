#!/usr/bin/env bash
# Proves the image without a daemon: buildah builds it over a debootstrapped stand-in for the official base, runc runs it as
# uid 10001 with a read-only root and no capabilities; it migrates, serves, answers the curl stories, finishes a request
# that runs while it is told to stop, reports its health and leaves politely.
#
# Wants root, and once: apt-get install --no-install-recommends buildah debootstrap runc
# With --if-possible it installs them itself, and where the machine cannot do it (no root, no apt, no network, no containers) it
# says so and ends well; an image that could be tried and is broken fails in either case.
# Everything is kept below IMAGE_CHECK_DIR, so that the second run is faster; delete that folder to start afresh.
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
# What the machine lacks is no fault of the image.
cannot() {
    [ "$if_possible" ] || fail "$*"
    printf 'image-check: not run here: %s\n' "$*"
    exit 0
}
b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver "${IMAGE_CHECK_DRIVER:-overlay}" "$@"; }

tidy() {
    runc delete --force "$name" >/dev/null 2>&1 || true
    if [ -n "$container" ]; then b rm "$container" >/dev/null 2>&1 || true; fi
}
trap tidy EXIT

tools() {
    local tool
    for tool in buildah debootstrap runc openssl; do command -v "$tool" >/dev/null || return 1; done
}

prepared() {
    [ "$(id -u)" = 0 ] || cannot "it wants root"
    mkdir -p "$work"
    if ! tools && [ "$if_possible" ]; then
        command -v apt-get >/dev/null || cannot "there is no apt-get to install buildah, debootstrap and runc with"
        { timeout 120 apt-get -qq update && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq install -y --no-install-recommends \
            buildah debootstrap runc openssl; } >"$work/apt.log" 2>&1 || cannot "buildah, debootstrap and runc cannot be installed; see $work/apt.log"
    fi
    tools || cannot "buildah, debootstrap and runc are missing"
    [ -e "$work/base.done" ] || bootstrap || cannot "no base can be made; see $work/debootstrap.log"
    [ "$(b images --quiet "$base" 2>/dev/null)" ] || commit_base || cannot "buildah does not work here"
    chroot "$work/base" /usr/bin/env -u PIP_CONFIG_FILE PATH=$paths SSL_CERT_FILE=$certificates PIP_CERT=$certificates \
        timeout 60 python3 -m pip --quiet index versions uv >/dev/null 2>&1 || cannot "the package index does not answer from inside of the base"
    starts || cannot "runc starts no container here; see $work/start.log"
}

# Whether anything at all starts: the base itself, with a command that does nothing.
starts() {
    container="$(b from --pull-never "$base")"
    mount="$(b mount "$container")"
    mkdir -p "$work/bundle" "$work/nothing"
    printf '{"Docker": {"config": {"User": "10001:10001", "Entrypoint": ["/bin/true"], "Cmd": [], "Env": [], "WorkingDir": "/"}}}' \
        | python3 deploy/bundle.py --root "$mount" --data "$work/nothing" >"$work/bundle/config.json"
    timeout 30 runc run --bundle "$work/bundle" "$name" >"$work/start.log" 2>&1 || return 1
    b rm "$container" >/dev/null
    container=""
}

# The stand-in carries this machine's certificates, so that the Dockerfile needs no line about them.
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
        || { tail -40 "$work/build.log"; fail "the build; see $work/build.log"; }
}

# Writes the bundle for a command; the image's own configuration says the rest.
prepare() { # data folder, secrets folder or nothing, command…
    local data="$1" secrets="$2"
    shift 2
    mkdir -p "$work/bundle"
    b inspect --type image "$image" | python3 deploy/bundle.py --root "$mount" --data "$data" \
        ${secrets:+--secrets "$secrets" --env LICENTIA_ENCRYPTION_KEYS_FILE=/run/secrets/encryption_keys} \
        ${secrets:+--env LICENTIA_LOOKUP_KEY_FILE=/run/secrets/lookup_key} --env "LICENTIA_PORT=$port" --env "LICENTIA_PUBLIC_URL=http://127.0.0.1:$port" -- "$@" >"$work/bundle/config.json"
}

run() { runc run --bundle "$work/bundle" "$name"; }
healthy() { runc exec "$name" /opt/venv/bin/python -m app health >/dev/null 2>&1; }
status() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$(runc state "$name" | awk -F'[:,]' '/"pid"/ {print $2+0}')/status"; }

gone_within() { # most seconds
    local code=0 started=$SECONDS
    wait "$server" || code=$?
    [ $((SECONDS - started)) -le "$1" ] || fail "it took $((SECONDS - started)) s to stop"
    [ "$code" = 143 ] || [ "$code" = 0 ] || fail "exit code $code"
    echo "exit code $code after $((SECONDS - started)) s"
}

say "base"
prepared
say "build"
build
container="$(b from --pull-never "$image")"
mount="$(b mount "$container")"
echo "image $(du -sm "$mount" | cut -f1) MB, packages $(du -sm "$mount/opt/venv" | cut -f1) MB, source $(du -sm "$mount/srv" | cut -f1) MB"
[ "$(find "$mount/srv/licentia" "$mount/opt/venv" -writable -uid 10001 | wc -l)" = 0 ] || fail "the user owns files of the program"
unexpected="$(find "$mount/srv/licentia" -mindepth 1 -maxdepth 1 -printf '%f ' | tr ' ' '\n' | grep -vxE 'alembic.ini|app|migrations|' || true)"
[ -z "$unexpected" ] || fail "unexpected in the image: $unexpected"

rm -rf "$work/data" "$work/secrets"
install -d -o 10001 -g 10001 -m 0700 "$work/data"
deploy/make-secrets.sh "$work/secrets" >/dev/null
chmod 0755 "$work/secrets"

say "without secrets it refuses to start, and says which"
prepare "$work/data" "" serve
code=0
run >"$work/refused.log" 2>&1 || code=$?
[ "$code" = 78 ] || fail "exit code $code instead of 78"
grep -q LICENTIA_LOOKUP_KEY "$work/refused.log" || fail "the missing name is not told"

say "migrate"
prepare "$work/data" "$work/secrets" migrate
run

say "serve"
prepare "$work/data" "$work/secrets"
run >"$work/serve.log" 2>&1 &
server=$!
for _ in $(seq 100); do
    healthy && break
    kill -0 "$server" 2>/dev/null || { cat "$work/serve.log"; fail "the server is gone"; }
    sleep 0.2
done
healthy || fail "not healthy"
[ "$(status Uid)" = 10001 ] || fail "uid $(status Uid)"
[ "$(status CapEff)" = 0000000000000000 ] || fail "capabilities $(status CapEff)"
[ "$(status NoNewPrivs)" = 1 ] || fail "new privileges are possible"
! runc exec "$name" /opt/venv/bin/python -c 'open("/srv/licentia/x", "w")' 2>/dev/null || fail "the root can be written"
[ "$(stat -c %u "$work/data/licentia.db")" = 10001 ] || fail "the database is not where it belongs"

say "the curl stories"
python=.venv/bin/python
[ -x "$python" ] || fail "the session wants .venv; run make image-check"
rm -rf "$work/session"
mkdir -p "$work/session/var"
runc exec "$name" /opt/venv/bin/python -m app api-keys create root --scope '*' >"$work/session/var/operator.key"
"$python" -m tests.docs.replay "http://127.0.0.1:$port" "$work/session" || fail "the session; its answers are in $work/session"

say "SIGTERM with a request in flight"
python3 deploy/in_flight.py "$port" "$work/session/var/operator.key" runc kill "$name" TERM || fail "the request was cut off"
gone_within 8

say "SIGTERM while starting"
run >"$work/start.log" 2>&1 &
server=$!
until runc state "$name" 2>/dev/null | grep -q '"running"'; do sleep 0.02; done
sleep 0.2
runc kill "$name" TERM
gone_within 4
b rmi --prune >/dev/null 2>&1 || true
say "the image is good"
