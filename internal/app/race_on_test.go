//go:build race

package app

// testPersons under the race detector, which makes everything ten times slower.
const testPersons = 3000
