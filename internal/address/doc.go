// Package address reads an address as people write it, finds the commune that it named
// at the time of writing, and says which commune of today that is.
//
// # Why
//
// On 1 July 2025 some ten thousand communes became 3,321, districts ceased, and commune
// codes were used again for other units. Records keep what was written; whoever counts, compares
// or delivers needs the unit of today beside it. A wrong unit is worse than
// none: it is believed. So the package either knows, and says why, or asks a person.
//
// # How
//
// [Standardiser.Standardise] folds the text (case, Unicode form, tone marks, i/y), finds
// every known name in it, and weighs the ways in which a commune, a district and
// a province found there fit together. The unit of that time is led to today by the links of
// the resolutions. [Standardiser.Code] does the same for a commune code and its date.
// A [Queue] keeps the questions that only people can answer, and their rulings.
//
// # Promises
//
//   - The original text is returned as it was; nothing is ever rewritten.
//   - An answer without a [Question] names exactly one unit of today, and it is one to which a
//     link or the list of today leads from what was written. Communes that were split,
//     moved in part, or whose link is ambiguous or lacks a code are questions.
//   - Typing errors are forgiven only inside a known province or district, and never when
//     a second name is near.
//   - A question holds the administrative part of the address and, for a split commune, the
//     name of the street or hamlet. House numbers and names of people are masked.
//   - A Standardiser is safe for any number of goroutines. An address that is understood
//     costs no allocation. Slices in a result are shared: callers do not change them.
package address
