// Package publish says what the dictionary and the catalogue hold in the formats that
// other people's tools read.
//
//   - [Exports.JSONSchema] and [Exports.XSD] describe the records of one dataset. They are
//     made from the same shape and rules that package quality checks rows with, and accept
//     and refuse the same values; a rule that the format cannot say is named in the
//     document, never left out silently.
//   - [Exports.Dictionary] writes the dictionary as CSV, XLSX, JSON, YAML and as SKOS (JSON-LD,
//     Turtle); [ImportElements] reads proposals from CSV, XLSX and YAML.
//   - [WriteContract] and [ReadContract] exchange data contracts (ODCS 3.1).
//   - [Exports.Catalogue] writes the DCAT-AP 3 feed of the datasets that may be known.
//
// Invariants:
//
//   - The same content gives the same bytes, and identifiers are stable: they are made of
//     codes and the configured base address only.
//   - Nothing private and no state secret is in the feed; of personal data there is
//     metadata and no way to download it.
//   - What comes from outside is read whole or refused with its place; what was not
//     understood is listed.
//   - Everything that [Formats] lists can be read back by the format's own tools; the tests do.
//
// The package opens no connection and serves nothing: every export writes to an io.Writer.
package publish
