// Package catalog is the register of databases: what their owners declare, what the
// platform sees of them, and how the two differ.
//
// # What is in it
//
// An [Entry] is the declaration of one database, made of the reference data ([Seed]) until its owner saves
// one of its own through package stewardship. The [Register] puts the entries together with
// what connectors have seen ([Observed]), finds drift, missing answers and stale entries, and searches
// all of it. [NewGraph] follows a value from the source's column to its consumers, and [Overlaps] names what several
// databases collect although one of them is the authority.
//
// # Promises
//
//   - A seed never takes the place of what an owner saved, and is always marked as not confirmed.
//   - What is declared and what is measured stand side by side and never overwrite each other.
//   - A registered shape changes only by a new approved version of the entry; until
//     then its drift stays on the entry.
//   - Search finds a word with and without diacritics, however it is composed and wherever its
//     tone mark stands.
package catalog
