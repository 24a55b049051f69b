/** The configuration of rabbitmq: environment names that deployments already have, their units and defaults. */
import { boolean, duration, field, integer, right, secret, size, text, wrong } from '../../config/fields.ts'
import { redactUrl } from '../../config/redact.ts'
import { defineSection, type SectionValues } from '../../config/section.ts'
import { parseHosts, parseUrl } from './address.ts'

const URL_TYPE = "a URL that begins with 'amqp://' or 'amqps://'"
const HOSTS_TYPE = 'host, or host:port of each node separated by commas'

export const rabbitmqSection = defineSection({
  name: 'rabbitmq',
  fields: {
    url: field<string>(
      { env: 'MQ_URL', doc: 'The broker as one URL; the settings below win over its parts' },
      URL_TYPE,
      (raw) => {
        if (typeof raw !== 'string' || raw.trim() === '') return wrong(URL_TYPE)
        const parsed = parseUrl(raw.trim())
        return 'expected' in parsed ? wrong(parsed.expected) : right(raw.trim())
      },
      { secrecy: 'url', show: redactUrl },
    ),
    host: field<string>(
      { env: 'MQ_HOST', doc: 'The broker; several nodes of a cluster are tried in turn' },
      HOSTS_TYPE,
      (raw) => {
        if (typeof raw !== 'string' || raw.trim() === '') return wrong(HOSTS_TYPE)
        const parsed = parseHosts(raw.trim(), 1)
        return 'expected' in parsed ? wrong(parsed.expected) : right(raw.trim())
      },
      { show: String },
    ),
    port: integer({
      env: 'MQ_PORT',
      min: 1,
      max: 65_535,
      doc: 'Port of hosts that name none; 5672 without, 5671 over TLS',
    }),
    user: text({ env: 'MQ_USER', doc: "User; wins over the one in the URL; 'guest' without both" }),
    password: secret({ env: 'MQ_PASSWORD', doc: 'Password; wins over the one in the URL' }),
    vhost: text({ env: 'MQ_VHOST', doc: "Virtual host; wins over the one in the URL; '/' without both" }),
    tls: boolean({ env: 'MQ_TLS', default: false, doc: 'AMQP over TLS; amqps:// turns it on too' }),
    tlsRejectUnauthorized: boolean({
      env: 'MQ_TLS_REJECT_UNAUTHORIZED',
      default: true,
      doc: 'false accepts any certificate: for tests only, it is logged as a warning',
    }),
    tlsCa: text({
      env: 'MQ_TLS_CA',
      doc: 'File with the authorities that may vouch for the broker, instead of those of Node',
    }),
    tlsCert: text({ env: 'MQ_TLS_CERT', doc: 'File with the certificate of the client' }),
    tlsKey: text({ env: 'MQ_TLS_KEY', doc: 'File with the key of that certificate' }),
    exchange: text({
      env: 'MQ_EXCHANGE',
      default: 'sluice',
      doc: 'Topic exchange that is published to and bound to; declared, durable',
    }),
    dialTimeout: duration({
      env: 'MQ_DIAL_TIMEOUT',
      unit: 's',
      default: '5s',
      min: '10ms',
      doc: 'Limit of opening a connection to one node, login included',
    }),
    heartbeat: duration({
      env: 'MQ_HEARTBEAT',
      unit: 's',
      default: '10s',
      min: '1s',
      max: '5m',
      doc: 'Of the connections; one on which nothing is heard for a quarter more is given up',
    }),
    publishTimeout: duration({
      env: 'MQ_PUBLISH_TIMEOUT',
      unit: 's',
      default: '10s',
      min: '10ms',
      doc: 'Limit of a publish until it is confirmed, waiting included',
    }),
    maxOutstanding: integer({
      env: 'MQ_MAX_OUTSTANDING',
      default: 1_000,
      min: 1,
      max: 100_000,
      doc: 'Messages sent and not yet confirmed; more wait',
    }),
    maxOutstandingBytes: size({
      env: 'MQ_MAX_OUTSTANDING_BYTES',
      default: '64mb',
      min: '1kb',
      doc: 'Bytes of those; one more message is let through while fewer are under way',
    }),
    maxWaiting: integer({
      env: 'MQ_MAX_WAITING',
      default: 10_000,
      min: 0,
      max: 1_000_000,
      doc: 'Messages that may wait to be sent; more are refused with SLUICE_POOL_FULL',
    }),
    maxMessageBytes: size({
      env: 'MQ_MAX_MESSAGE_BYTES',
      default: '16mb',
      min: '1kb',
      max: '128mb',
      doc: 'Body of a message at most; a larger one is refused with SLUICE_TOO_LARGE',
    }),
    maxRetries: integer({
      env: 'MQ_MAX_RETRIES',
      default: 2,
      min: 0,
      max: 10,
      doc: 'Retries of a publish that the broker refused; it keeps its id',
    }),
  },
  check: (values) =>
    values.exchange.startsWith('amq.') ||
    values.exchange.startsWith('sluice.') ||
    values.exchange.length > 200
      ? [
          {
            field: 'exchange',
            expected: "a name of up to 200 characters that begins with neither 'amq.' nor 'sluice.'",
          },
        ]
      : [],
})

export type RabbitmqConfig = SectionValues<typeof rabbitmqSection.fields>
