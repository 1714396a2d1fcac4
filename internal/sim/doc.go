// Package sim holds whole-system scenarios: a source that people write to, a node
// and a hub as processes of their own with their real engines, and a line between
// them, while something breaks. It has tests only.
//
// Every scenario ends with the same questions, asked of the databases themselves
// and not of the program under test: does the hub hold exactly the rows of the
// source, is the chain of batches whole, is every batch in both audit logs, and did
// nothing have to be repaired on the way. A repair would be a loss that
// reconciliation made good, and counts as a failure here.
package sim
