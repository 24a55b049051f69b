/** Stands in for a mail provider where there is none: a real SMTP server on the loopback that keeps what it is sent. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { SMTPServer } from 'smtp-server'

export interface Mail {
  readonly to: readonly string[]
  /** Headers and text, as they came. */
  readonly raw: string
}

export interface Sink {
  readonly url: string
  /** The last hundred, the newest last. */
  readonly mails: readonly Mail[]
  /** Answers that many mails with "try again later". */
  refuse(times: number): void
  /** Called after each mail that was taken. */
  onMail: (mail: Mail) => void
  close(): Promise<void>
}

const KEPT = 100
const TRY_LATER = 451

export async function openSink(): Promise<Sink> {
  const mails: Mail[] = []
  let refusals = 0
  const take = async (stream: Readable, to: readonly string[]): Promise<void> => {
    const raw = await text(stream)
    if (refusals > 0) {
      refusals -= 1
      throw Object.assign(new Error('try again later'), { responseCode: TRY_LATER })
    }
    const mail = { to, raw }
    mails.push(mail)
    if (mails.length > KEPT) mails.shift()
    sink.onMail(mail)
  }
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    onData(stream, session, done) {
      const answer = async (): Promise<void> => {
        try {
          await take(
            stream,
            session.envelope.rcptTo.map(({ address }) => address),
          )
        } catch (error) {
          done(error as Error)
          return
        }
        done()
      }
      void answer()
    },
  })
  // A client that goes away in the middle is the client's affair.
  server.on('error', () => {})
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const { port } = server.server.address() as AddressInfo
  const sink: Sink = {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    refuse: (times) => void (refusals = times),
    onMail: () => {},
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
  return sink
}
