#!/bin/sh
# Runs everything. Packages in which goroutines meet run under the race
# detector, which needs a C compiler; without one they run plainly.
set -eu
export CI="${CI:-true}"
go vet ./...
race=""
if command -v gcc >/dev/null 2>&1; then
	race="./internal/bus ./internal/capture ./internal/landing ./internal/trust ./internal/audit ./internal/console ./internal/durable ./internal/telemetry"
fi
plain=$(go list ./... | sed 's|^github.com/lienthong/lienthong|.|')
for p in $race; do
	plain=$(printf '%s\n' "$plain" | grep -vx "$p")
done
failed=0
# shellcheck disable=SC2086
[ -z "$race" ] || CGO_ENABLED=1 go test -race -count=1 -timeout 10m $race || failed=1
# shellcheck disable=SC2086
go test -count=1 -p 2 -timeout 14m $plain || failed=1
exit $failed
