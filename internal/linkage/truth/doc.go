// Package truth makes registers of persons and organisations in which it is known who is
// entered twice, and measures what package linkage makes of them.
//
// Duplicates are entered the way clerks enter them: without diacritics, with day and
// month exchanged, with a digit of a number wrong, with an old telephone number. What
// makes the task hard is there too: twins with numbers next to each other, sons who carry
// their father's name, sisters who differ in one word, namesakes of the same year, firms of the same
// name in another province, branches. Nothing here is about anybody: names are drawn from lists of
// common words, numbers at random. The same configuration gives the same register.
package truth
