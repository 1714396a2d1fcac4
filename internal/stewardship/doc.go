// Package stewardship takes anything that is administered from a proposal to its
// publication: an element of the dictionary, a code list, the register entry of a
// database, the mapping of a dataset.
//
// # What is in it
//
// An [Item] is one administered thing: the version that is in force, if any, and the one that
// people work on. A [Desk] moves it along the life cycle; [Transitions] is that life cycle as
// a table, and the only place that says who may do what. The content of an item is JSON that
// only its [Kind] understands.
//
// # Promises
//
//   - A draft may be incomplete, and saving is never refused for what is missing: problems are a
//     list beside the draft, and only submitting asks for a complete one.
//   - Nobody approves what they wrote themselves, not even a part of it.
//   - What is approved is what was reviewed: a change of the content starts the way again, and
//     approval waits until every requested change is settled and every consultation is over.
//   - Every step is one revision of a document with actor, time and reason, so that the history
//     is complete; a step that was decided on an older revision is refused.
//   - A version in force stays in force until the next one is published, whatever happens
//     to the proposal meanwhile.
package stewardship
