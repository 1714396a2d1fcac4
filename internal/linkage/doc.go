// Package linkage finds records that are about the same person or the same
// organisation, and asks people where that cannot be known.
//
// A register ([Persons], [Organisations]) takes records one by one and keeps what
// identity is judged by in some 200 bytes each, word and number by number, not text
// by text. Blocking decides which pairs are compared at all: records that share one
// of a dozen keys, such as birth date and given name, or the last six digits of the
// personal number. Each pair becomes a level of agreement per field, and the levels
// become a weight in bits by the rule of Fellegi and Sunter, with the rarity of the
// names counted in: two people called Nguyễn Văn Hùng are less of a coincidence than two called
// Bế Thị Khuê. How often duplicates agree in a field, and how often strangers do,
// is estimated from the register itself and from what people have answered ([Model]).
//
// # Promises
//
//   - Nothing is merged. A [Result] proposes; records stay as they are.
//   - Three zones: same, ask, different. Some contradictions outweigh any sum of
//     agreements: records with two different personal numbers, or two given names that
//     both exist, are never "same" by calculation; a chain of likenesses whose ends
//     contradict each other is asked as a whole.
//   - The same records, answers and configuration give the same result, to the bit. An
//     [PersonIndex] that is kept by adding and removing records answers as a run over all of
//     them would.
//   - A pair is scored once, however many keys it shares. What was not compared,
//     because too many records share a key, is reported ([PassReport]).
//   - Every weight can be taken apart into words in both languages ([Model.Explain]). Names,
//     numbers and dates of records never leave the package: not in results, questions,
//     models, errors.
//
// Registers are not safe for concurrent use.
package linkage
