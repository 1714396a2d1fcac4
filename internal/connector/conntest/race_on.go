//go:build race

package conntest

// The race detector takes memory of its own.
const raceDetector = true
