/** What the service itself is told by its configuration, beside its components. */
import { z } from 'zod'

export const settings = {
  mail: z.object({
    /** MAIL_URL, such as smtp://user:password@mail.example.com:587. Without it mail goes to a sink in this process. */
    url: z.url().optional(),
    from: z.string().default('todo@example.com'),
  }),
}

export interface Settings {
  readonly mail: z.infer<typeof settings.mail>
}
