/** Begins the name of a unique task that another may follow as soon as it runs. */
export const UNIQUE_WHILE_QUEUED = 'q:'
/** What a claim makes of the name, of a row called `t`. */
export const UNIQ_AT_CLAIM = `case when starts_with(t.uniq, '${UNIQUE_WHILE_QUEUED}') then null else t.uniq end`
