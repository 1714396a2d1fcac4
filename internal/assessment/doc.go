// Package assessment says where a database stands against the Resolution, why, and what
// to do next: its status group, the 27 readiness checks, compliance with the architecture
// frameworks, a score with a formula, recommendations in order, the ranking of
// agencies, and the assessment of one database on one page.
//
// # How it works
//
// [Facts] are plain figures about one database: what the platform measured, what both
// ends reconciled, what the owner's node signed, and what people declared. A [Method]
// is the law and our choices as data (data/*.yaml): groups, checks, requirements,
// weights, bands, gates, recommendation rules. [Method.Assess] is a pure function of the
// two and an instant; it gives an [Assessment], from which [NewSheet] arranges the one
// page that HTML, PDF and DOCX show. [Desk] keeps what people answer and
// [History] the dated snapshots, both as documents.
//
// # Promises
//
//   - Every number can be recomputed from what is printed: an assessment's points are the sum
//     of its parts, a part's points are most × value × credit.
//   - What is not known is never counted as good, nor as measured: it scores nothing, and the
//     coverage says how much of the score rests on knowledge.
//   - The platform's own figures go before what people say. A declaration earns part of
//     the points, expires after 12 months, and one that a measurement contradicts is shown as such.
//   - A gate (identifiers below 100 %, too little evidence, an open difference between both
//     ends) caps the band whatever the mean is.
//   - A recommendation names the figure that calls for it, so that two databases with different
//     facts get different advice and people see why.
//   - Different classes are never ranked together, and who has too little evidence is not ranked.
//   - No record value comes in or goes out: facts are counts, dates and names of offices.
package assessment
