/** The driver, loaded on first use: it takes 480 ms. */
import type * as Driver from '@platformatic/kafka'
import { loadPeer } from '../../../app/peer.ts'

export type KafkaModule = typeof Driver
export type RawConsumer = Driver.Consumer
export type RawMessage = Driver.Message<Buffer, Buffer, Buffer, Buffer>
export type StreamOptions = Driver.ConsumeOptions<Buffer, Buffer, Buffer, Buffer>
export type RawStream = Driver.MessagesStream<Buffer, Buffer, Buffer, Buffer>

export function loadKafka(): Promise<KafkaModule> {
  return loadPeer('@platformatic/kafka', 'kafka', () => import('@platformatic/kafka'))
}
