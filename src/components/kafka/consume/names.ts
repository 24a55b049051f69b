/** Names of the topics that belong to a topic and a group: failures are those of a group, and no other sees them. */

export function retryTopic(topic: string, group: string, level: number): string {
  return `${topic}.${group}.retry.${level}`
}

export function deadTopic(topic: string, group: string): string {
  return `${topic}.${group}.dead`
}

/** What was redriven: read beside the topic itself, and by this group alone. */
export function redrivenTopic(topic: string, group: string): string {
  return `${topic}.${group}.redriven`
}
