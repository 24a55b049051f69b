/**
 * E-mails as jobs: enqueued in the transaction that causes them, sent by SMTP, tried again while the server is away.
 *
 * Nobody can know whether a mail was delivered when the connection breaks before the answer, so it may arrive twice:
 * the id of the job makes the Message-ID, by which mail programs know the second one.
 */
import { service, type Logger } from 'sluice'
import { job, type Jobs } from 'sluice/jobs'
import { createTransport } from 'nodemailer'
import { z } from 'zod'
import { openSink, type Sink } from './mail-sink.ts'
import type { Settings } from './settings.ts'

export const SendEmail = job(
  'send_email',
  z.object({ to: z.email(), subject: z.string().max(200), text: z.string() }),
  { attempts: 12, backoff: { base: '500ms', max: '10m' }, timeout: '30s', concurrency: 5 },
)

interface Needs {
  readonly jobs: Jobs
  readonly config: Settings
  readonly log: Logger
}

export const mail = service('mail', ({ jobs, config, log }: Needs) => {
  const { url, from } = config.mail
  let sink: Promise<Sink> | undefined
  const transport = async () => {
    if (url !== undefined) return createTransport(url)
    sink ??= openSink()
    return createTransport((await sink).url)
  }
  jobs.handle(SendEmail, async ({ id, data, attempt, signal }) => {
    const sender = await transport()
    try {
      await sender.sendMail({ from, ...data, messageId: `<job-${id}@todo.example.com>`, signal })
    } finally {
      sender.close()
    }
    log.info({ job: id, attempt, subject: data.subject }, 'mail sent')
  })
  return { stop: async () => (await sink)?.close() }
})
