/**
 * What a source, the lanes and a sink agree upon. Each can be written by itself against this file.
 *
 *   source ──messages──► lanes (one a type of entity, conflating) ──batches──► sink
 *   loader ──rows──────►                                          ◄──outcome──
 *
 * Words. A *lane* is one type of entity. A *message* is what the source delivers; a *change* is what a key still has to
 * become, after the messages that wait for it were put together. The *cursor* is a stream id: everything up to it,
 * of all lanes, is stored. A *load* is one reading of the whole data set in pages, beside the live stream.
 *
 * Order. The replicator never has two batches with the same key in flight, so a sink may run the batches that it is
 * given at once.
 *
 * Stream ids have one order over all lanes, also after a resume: what was missed comes as it came, not lane by lane. Some of
 * what was delivered before may come again first. The cursor is worth nothing otherwise: with 20 of one lane stored, it
 * says that all up to 20 is, and a 12 of another lane that comes afterwards is not asked for again after a crash. Where the lanes
 * see such a message they say so and everything is loaded anew, on each occasion; what a crash has hidden before
 * it came they cannot see. A source whose ids ascend only within a lane (a Kafka topic a lane, say) has to merge its lanes
 * first, or be a replicator for each.
 *
 * The cursor is one for all lanes, and each batch carries it as it stands once that batch is stored, so a sink stores
 * it in the same atomic unit, in the place of the batch's lane (a Redis Cluster has no transaction across slots, so
 * each lane has a slot, a lease and a copy of the cursor of its own). The replicator resumes from the *lowest* of the
 * copies: where one lane's server lost its last writes in a failover, its copy went back with them. A lane without
 * traffic gets its copy renewed by an empty batch, so that it does not hold the others back.
 * A cursor for each shard was not taken: a source resumes from one position, so the lowest would be taken anyway, and a
 * quiet shard would hold it back for ever.
 */
export type { StreamId } from './stream-id.ts'
export * from './contract/changes.ts'
export type * from './contract/loader.ts'
export type * from './contract/parts.ts'
export type * from './contract/sink.ts'
export type * from './contract/source.ts'
