// Package lienthong is the vocabulary of the platform: the words that agencies,
// data engineers and this code use for the same things.
//
// A [Member] runs a Node. The node reads changes of a [Database] through a
// connector, maps them to the elements of a [Shape], checks them, and seals them
// into batches. A [BatchHeader] names what a batch holds and links it to the one
// before; a [Receipt] is the hub's signed word that a batch is durable.
//
// The package imports nothing but the standard library and knows no technology.
package lienthong
