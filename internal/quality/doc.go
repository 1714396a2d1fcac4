// Package quality says whether data are as people agreed they should be, and
// how well a database does by the six criteria of the Resolution.
//
// Rules are data (dictionary.Rule). Compile turns them, once per shape, into
// closures over rows of lienthong.Value; Checker.Check then runs them on every
// row that passes through capture without allocating. What the rules found
// becomes Findings for the owner and Counters for the hub, and Method turns
// counters into scores that a person can recompute from the printed parts.
//
// Invariants:
//
//   - A value that is not known (Unchanged) breaks no rule.
//   - A value that cannot be read (Malformed) breaks the rule "type" of its field
//     and no other, so that one defect is counted once.
//   - No value of a record leaves this package unmasked.
//   - A figure is never made up: what was not measured is not known, and is left out
//     of the sums instead of being counted as passed or failed.
//
// Calendar days are those of Viet Nam (UTC+7 all year round).
package quality
