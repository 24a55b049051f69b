/** Both directions between the log and a broker, for as long as the component is connected: the relay and the bridge. */
import type { Inspection } from '../../app/component.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Logger } from '../../telemetry/log.ts'
import { Bridge } from '../bridge/bridge.ts'
import { sourceOf } from '../relays/identity.ts'
import { relaySpec } from '../relays/relay.ts'
import type { EventsRuntime } from '../runtime.ts'
import type { EventsConfig } from '../section.ts'
import type { SubscriptionSpec } from '../spec.ts'
import type { EventBroker, ForeignMapping } from './broker.ts'

export interface TravelOptions {
  readonly engine: Engine
  readonly runtime: EventsRuntime
  readonly broker: EventBroker
  readonly config: EventsConfig
  readonly component: string
  readonly appName: string
  readonly log: Logger
  readonly map: ForeignMapping | undefined
}

export class Travel {
  readonly #broker: EventBroker
  readonly #bridge: Bridge
  #stopped: Promise<void> | undefined

  private constructor(broker: EventBroker, bridge: Bridge) {
    this.#broker = broker
    this.#bridge = bridge
  }

  /** The broker may be away: nothing waits for it but what is on its way. */
  static async begin(options: TravelOptions): Promise<Travel> {
    const { engine, runtime, broker, config, component, appName, log, map } = options
    const source = await sourceOf(engine.db)
    await runtime.subscribe(relaySpec(broker, config.relayTopics, source))
    const bridged = engine.metrics.counter('sluice_events_bridged_total', 'Events that came from a broker.')
    const bridge = new Bridge({
      engine,
      log,
      broker,
      inbox: runtime.inbox(),
      source,
      name: `${appName}/${component}/bridge`,
      topics: config.bridgeTopics,
      maxBytes: config.maxBodySize,
      map,
      counted: (outcome) => bridged.with({ component, outcome }),
    })
    return new Travel(broker, bridge)
  }

  get inspection(): Inspection {
    return { broker: this.#broker.kind, bridge: [...this.#bridge.patterns] }
  }

  subscribed({ patterns, from }: SubscriptionSpec): void {
    this.#bridge.subscribed(patterns, from)
  }

  /** Resolves when what others publish reaches the log. */
  ready(): Promise<void> {
    return this.#bridge.ready()
  }

  /** The relay is stopped with the other subscriptions. */
  stop(signal: AbortSignal): Promise<void> {
    this.#stopped ??= this.#bridge.stop(signal)
    return this.#stopped
  }
}
