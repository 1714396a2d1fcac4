#!/bin/sh
# Runs everything. Packages in which goroutines meet run under the race
# detector, which needs a C compiler; without one they run plainly. Capture and console run both ways: in their
# short form under the detector, in full without.
set -eu
export CI="${CI:-true}"
go vet ./...
race=""
short=""
if command -v gcc >/dev/null 2>&1; then
	race="./internal/bus ./internal/landing ./internal/trust ./internal/audit ./internal/durable ./internal/telemetry ./internal/bundle ./internal/feed ./internal/api"
	short="./internal/capture ./internal/console"
fi
plain=$(go list ./... | sed 's|^github.com/lienthong/lienthong|.|')
for p in $race; do
	plain=$(printf '%s\n' "$plain" | grep -vx "$p")
done
failed=0
# shellcheck disable=SC2086
[ -z "$race" ] || CGO_ENABLED=1 go test -race -count=1 -p 2 -timeout 10m $race || failed=1
# shellcheck disable=SC2086
[ -z "$short" ] || CGO_ENABLED=1 go test -race -short -count=1 -p 2 -timeout 10m $short || failed=1
# shellcheck disable=SC2086
go test -count=1 -p 2 -timeout 25m $plain || failed=1
exit $failed
