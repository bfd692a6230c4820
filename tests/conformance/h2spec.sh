#!/bin/sh
# Runs h2spec (github.com/summerwind/h2spec) against the echo server, in clear and over TLS.
#
#   tests/conformance/h2spec.sh BUILD-DIR
#
# h2spec is built by the ordinary Go client into BUILD-DIR/conformance; without Go (or the module) the
# suite is skipped, with a message and status 77. Cases that we answer otherwise on purpose are named,
# with reasons, in README.md beside this file and in the list below. Strict mode (-S) is on.
set -eu

build=${1:?usage: h2spec.sh BUILD-DIR}
here=$(cd "$(dirname "$0")" && pwd)
dir=$build/conformance
server=$dir/echo_server
spec=${H2SPEC:-$dir/h2spec}
module=github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible

skip() {
    echo "h2spec: SKIPPED: $1"
    exit 77
}

if [ ! -x "$spec" ]; then
    command -v go >/dev/null || skip "no Go to build it with (apt-get install golang)"
    mkdir -p "$dir"
    GOBIN=$(cd "$dir" && pwd) GOFLAGS=-buildvcs=false go install "$module" >"$dir/h2spec.log" 2>&1 ||
        skip "it cannot be built: $(tail -n 1 "$dir/h2spec.log")"
fi
[ -x "$server" ] || { echo "h2spec: $server is missing: make $server" >&2; exit 2; }

work=$(mktemp -d)
pid=
cleanup() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || :
    rm -rf "$work"
}
trap cleanup EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

# Starts a server with these arguments; sets pid and port.
start() {
    : >"$work/out" # the port of the one before must not be read again
    "$server" --listen 127.0.0.1:0 "$@" >"$work/out" &
    pid=$!
    tries=0
    until port=$(sed -n 's/^listening on port //p' "$work/out") && [ -n "$port" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "h2spec: the server does not start" >&2; exit 1; }
        sleep 0.1
    done
}

stop() {
    kill "$pid"
    wait "$pid" || :
    pid=
}

# Runs one way; the junit report says what failed.
run() {
    name=$1
    shift
    "$spec" -h 127.0.0.1 -p "$port" -o 5 -S -j "$work/$name.xml" "$@" >"$work/$name.txt" 2>&1 || :
    tail -n 2 "$work/$name.txt" | sed "s/^/h2spec ($name): /"
    python3 "$here/h2spec_report.py" "$work/$name.xml" "$here/h2spec_exceptions.txt" ||
        { cat "$work/$name.txt"; failed=1; }
}

failed=0
start
run clear
stop
start --tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
run tls -t -k
stop
exit $failed
