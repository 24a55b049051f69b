/** The app's own section: its name, port, logging, worker pool, HTTP limits, health checks and shutdown. */
import { duration, formatExactly, integer, list, oneOf, size, text } from './fields.ts'
import { defineSection, type SectionValues } from './section.ts'
import { isHostName } from '../core/host-name.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

export const appSection = defineSection({
  name: 'app',
  fields: {
    name: text({
      env: 'OTEL_SERVICE_NAME',
      doc: 'Name of the service in logs, traces and metrics. Default: the name given to createApp.',
    }),
    version: text({
      env: 'OTEL_SERVICE_VERSION',
      doc: 'Version of the service in logs, traces and metrics.',
    }),
    host: text({ env: 'APP_HOST', default: '0.0.0.0', doc: 'Address that the HTTP server listens on.' }),
    port: integer({
      env: ['APP_PORT', 'PORT'],
      min: 0,
      max: 65_535,
      default: 8080,
      doc: 'Port of the HTTP server; 0 takes any free one.',
    }),
    hosts: list({
      env: 'APP_HOSTS',
      doc: 'Host names that routes are answered under, or `any`. Default: those of this machine where it listens on loopback and no proxy is trusted, else any.',
    }),
    logLevel: oneOf(LOG_LEVELS, {
      env: ['OTEL_LOG_VERBOSITY', 'LOG_LEVEL'],
      default: 'info',
      doc: 'Least severe level that is logged.',
    }),
    workers: integer({
      env: ['APP_WORKERS', 'GOROUTINE_POOL_SIZE'],
      min: 1,
      max: 1_000_000,
      default: 10_000,
      doc: 'Tasks that run at once in the worker pool of the app.',
    }),
    maxWaiting: integer({
      env: 'APP_MAX_WAITING',
      min: 0,
      max: 10_000_000,
      default: 100_000,
      doc: 'Tasks that may wait for a slot in the worker pool of the app; more are refused.',
    }),
    bodyLimit: size({
      env: 'APP_BODY_LIMIT',
      min: 1,
      max: '1gb',
      default: '1mb',
      doc: 'Largest body of a request; a larger one is answered with 413.',
    }),
    maxJsonDepth: integer({
      env: 'APP_MAX_JSON_DEPTH',
      min: 1,
      max: 10_000,
      default: 100,
      doc: 'Levels of objects and arrays in a JSON body; a deeper one is answered with 400.',
    }),
    requestTimeout: duration({
      env: 'APP_REQUEST_TIMEOUT',
      unit: 's',
      min: '1s',
      max: '1h',
      default: '30s',
      doc: 'Time that a client has to send a whole request.',
    }),
    keepAliveTimeout: duration({
      env: 'APP_KEEP_ALIVE_TIMEOUT',
      unit: 's',
      min: '1s',
      max: '1h',
      default: '65s',
      doc: 'Time that an idle connection stays open; keep it above that of the load balancer.',
    }),
    startupGate: duration({
      env: 'APP_STARTUP_GATE',
      unit: 's',
      max: '1h',
      default: '30s',
      doc: 'Longest time that /readyz waits for components and services at start.',
    }),
    healthInterval: duration({
      env: 'APP_HEALTH_INTERVAL',
      unit: 's',
      min: '100ms',
      max: '1h',
      default: '5s',
      doc: 'Time between two health checks of a component.',
    }),
    healthTimeout: duration({
      env: 'APP_HEALTH_TIMEOUT',
      unit: 's',
      min: '10ms',
      max: '10m',
      default: '2s',
      doc: 'Limit of one health check.',
    }),
    drainDelay: duration({
      env: 'APP_DRAIN_DELAY',
      unit: 's',
      max: '10m',
      doc: 'Time that requests are still served after a stop signal, so that load balancers notice. Default: 5s in Kubernetes, else 0.',
    }),
    shutdownTimeout: duration({
      env: 'APP_SHUTDOWN_TIMEOUT',
      unit: 's',
      min: '100ms',
      max: '1h',
      default: '25s',
      doc: 'Limit of the whole shutdown; afterwards the process ends with code 70. Keep it below the grace period of the platform.',
    }),
  },
  check(values, given) {
    const faults: { field: string; expected: string }[] = []
    const { healthInterval, healthTimeout } = values
    if (healthTimeout > healthInterval && given?.('healthTimeout') === true && given('healthInterval')) {
      faults.push({
        field: 'healthTimeout',
        expected: `at most health_interval (${formatExactly(healthInterval)}), or checks come later than that`,
      })
    }
    if ((values.drainDelay ?? 0) >= values.shutdownTimeout) {
      faults.push({
        field: 'drainDelay',
        expected: 'less than shutdown_timeout, or nothing is left of it to drain',
      })
    }
    // An address of IPv6 may name its interface: fe80::1%eth0.
    if (!isHostName(values.host.replace(/%[\w.-]+$/, ''))) {
      faults.push({ field: 'host', expected: 'a name or an address without port or scheme' })
    }
    const misnamed = values.hosts?.find((name) => !isHostName(name))
    if (misnamed !== undefined || values.hosts?.length === 0) {
      faults.push({ field: 'hosts', expected: 'names or addresses without port or scheme, or `any`' })
    }
    return faults
  },
})

export type AppValues = SectionValues<(typeof appSection)['fields']>
