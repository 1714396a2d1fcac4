//go:build !race

package app

// testPersons of the tests' country: enough for every kind of defect in every dataset.
const testPersons = 20_000
