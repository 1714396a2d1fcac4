// Package dictionary is the common language of the platform: data elements, code
// lists by date, the reference data of the political system, and the definitions
// that map an agency's columns to elements.
//
// # What is in it
//
// A [Dictionary] is loaded from versioned YAML and CSV, normally the edition that
// travels inside the program ([Builtin]). It holds [Element]s with the rules they
// bring along, [CodeList]s that are asked by code and instant, and the dated
// reference data: members, provinces, communes, the links between the communes of
// before and after 1 July 2025, the databases, the tasks. A Dictionary never changes
// after it was loaded and is safe for any number of goroutines.
//
// # Editions
//
// Published changes make a new edition: [Dictionary.With] applies them, says in
// [Difference]s what is different and what of it breaks, and raises the versions.
// [MarshalElement] and [ParseElement] carry an element through proposals, imports and
// exports without loss; [Dictionary.Uses] lists the datasets that a change touches.
//
// # Definitions
//
// A [Definition] is what people agreed about one dataset; [ParseDefinition] reads it
// from YAML. [Dictionary.Compile] binds it to the columns that the source really has and
// gives a [Mapper], which turns source rows into rows of the [lienthong.Shape].
// docs/dictionary.md shows how to write one.
//
// # Promises
//
//   - Whoever writes a definition is told everything that is wrong with it at once, with
//     file and line: parsing and compiling return joined [lienthong.Error]s.
//   - A definition that is marked as a state secret does not compile.
//   - Mapping does not allocate in steady state, and no value is lost by it: what cannot
//     be converted becomes Malformed and keeps its original text.
//   - Unchanged stays Unchanged. A field made of several columns is Unchanged when all of
//     them are; when only some are, its value cannot be known and it is Malformed, so that
//     the row is held back instead of landing half a name. A source of such a
//     dataset must deliver whole rows.
//   - An edition is never changed: people who hold one keep what they have read.
//   - Codes are looked up by (code, date). 3,246 of the 3,321 commune codes of today were
//     in use before 1 July 2025 with certainty, most of them for another unit.
//
// # Conventions of mapped values
//
// Text is UTF-8 in NFC without NUL bytes; other bytes are Malformed. An empty text of
// a mapped field is Null: it says nothing, and rules about missing values must see it.
// Dates and times without an offset are Vietnam time (UTC+7) unless the mapping says "utc".
// A code that a translation table does not know stays as it is, so that the code list's
// rule can name it.
package dictionary
