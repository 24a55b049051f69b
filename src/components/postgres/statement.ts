/**
 * What is known of a statement's text: how it may be sent, its prepared name, and how long it usually takes.
 *
 * A *read* is a statement that takes no lock that others wait for, changes nothing, and may be sent twice. Only reads
 * share a connection with other callers: a write that waits for a row lock would make every statement behind it wait
 * too, also the one that the lock's owner needs to go on, a deadlock that the server cannot see. When in doubt a
 * statement is no read; it is then sent on a connection of its own, as any pool does it.
 */
import { createHash } from 'node:crypto'
import { SluiceError } from '../../core/errors.ts'
import { actsOn, mayLeave, type ConnectionAct } from './connection-acts.ts'
import { OPAQUE } from './opaque-text.ts'

export interface Statement {
  readonly text: string
  /** May share a connection and be sent again. */
  readonly read: boolean
  /** Name of the prepared statement, equal in every process. */
  readonly name: string
  /** Acts on the connection itself: refused where the connection is not the caller's own. */
  readonly acts: ConnectionAct | undefined
  /** May leave a setting, a lock or a temporary table on its connection, which the next caller would find. */
  readonly leaves: boolean
  /** Times that it was sent. It is prepared from the second time on. */
  uses: number
  /** Moving average of the milliseconds that the server was busy with it; undefined before its first answer. */
  meanMs: number | undefined
}

/** Texts remembered by one component; the oldest is forgotten first. */
const MAX_STATEMENTS = 2_000
/** Longer texts are not kept: 2,000 of them would hold megabytes, and who generates them seldom repeats them. */
const MAX_CACHED_TEXT = 20_000

export class Statements {
  readonly #known = new Map<string, Statement>()

  /** Throws SLUICE_INVALID_ARGUMENT where there is no text. */
  of(text: string): Statement {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    if (typeof text !== 'string' || text.trim() === '') {
      throw new SluiceError('SLUICE_INVALID_ARGUMENT', 'the statement: expected SQL text, got none')
    }
    refuseNul(text)
    const statement = describe(text)
    if (text.length > MAX_CACHED_TEXT) return statement
    this.#known.set(text, statement)
    if (this.#known.size > MAX_STATEMENTS) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest)
        break
      }
    }
    return statement
  }

  get size(): number {
    return this.#known.size
  }
}

/** A statement that is sent once, unchecked: for the component's own use. */
export function describe(text: string): Statement {
  return {
    text,
    read: isRead(text),
    acts: actsOn(text),
    leaves: mayLeave(text),
    name: `sluice_${createHash('sha1').update(text).digest('hex').slice(0, 16)}`,
    uses: 0,
    meanMs: undefined,
  }
}

/** The protocol ends a text at the first NUL: the server would take what follows for something else. */
export function refuseNul(text: string): void {
  const at = text.indexOf('\0')
  if (at === -1) return
  throw new SluiceError('SLUICE_INVALID_ARGUMENT', `the statement: expected SQL text, got NUL at ${at}`, {
    hint: 'Pass what comes from outside as a parameter ($1), and bytes as a Buffer.',
  })
}

/** Stands for a quoted name, so that a call of it is still seen as a call. */
const QUOTED = '""'
/** These words anywhere in a select make it more than a read. */
const NOT_READ =
  /\b(insert|update|delete|merge|into|create|drop|alter|truncate|call|do|share|for\s+no\s+key|for\s+key)\b/i
/** What may be a function's name, in front of a parenthesis. To the server every character beyond ASCII is a letter. */
const CALL = /(?<![\w$."\u0080-\uffff])([\w$."\u0080-\uffff]+) ?\(/g

/** Functions of PostgreSQL that read only; a call of any other makes a statement no read. */
const PURE = new Set(
  (
    'abs,age,any,all,some,array_agg,array_append,array_cat,array_length,array_position,array_remove,array_to_json,array_to_string,' +
    'as,and,avg,between,bool_and,bool_or,btrim,by,cardinality,case,cast,ceil,ceiling,char_length,coalesce,concat,concat_ws,' +
    'count,cume_dist,current_database,current_schema,current_setting,date,date_part,date_trunc,decode,dense_rank,digest,distinct,else,encode,' +
    'every,except,exists,extract,filter,first_value,floor,format,from,generate_series,greatest,group,grouping,having,in,' +
    'initcap,interval,intersect,is,join,json_agg,json_array_elements,json_array_elements_text,json_array_length,json_build_array,' +
    'json_build_object,json_each,json_each_text,json_object_agg,json_object_keys,json_populate_record,json_populate_recordset,' +
    'json_to_record,json_to_recordset,jsonb_agg,jsonb_array_elements,jsonb_array_elements_text,jsonb_array_length,jsonb_build_array,' +
    'jsonb_build_object,jsonb_each,jsonb_each_text,jsonb_extract_path,jsonb_extract_path_text,jsonb_object_agg,jsonb_object_keys,' +
    'jsonb_path_exists,jsonb_path_query,jsonb_path_query_array,jsonb_populate_record,jsonb_populate_recordset,jsonb_set,' +
    'jsonb_strip_nulls,jsonb_to_record,jsonb_to_recordset,jsonb_typeof,lag,last_value,lateral,lead,least,left,length,limit,lower,lpad,' +
    'ltrim,make_interval,materialized,max,md5,min,mod,not,now,ntile,nth_value,nullif,octet_length,offset,on,or,over,overlay,partition,' +
    'percent_rank,percentile_cont,percentile_disc,phraseto_tsquery,plainto_tsquery,position,power,random,rank,recursive,regexp_match,' +
    'regexp_matches,regexp_replace,regexp_split_to_array,repeat,replace,reverse,right,round,row,row_number,row_to_json,rpad,rtrim,' +
    'select,sign,similarity,split_part,sqrt,starts_with,stddev,string_agg,string_to_array,strpos,substr,substring,sum,then,timestamp,' +
    'timestamptz,to_char,to_date,to_json,to_jsonb,to_number,to_regclass,to_timestamp,to_tsquery,to_tsvector,trim,trunc,ts_headline,' +
    'ts_rank,ts_rank_cd,tsvector,union,unnest,upper,using,uuid,values,variance,version,websearch_to_tsquery,when,where,width_bucket,' +
    'with,within,numeric,varchar,char,decimal,int,bigint,text,jsonb,json'
  ).split(','),
)

function isRead(text: string): boolean {
  let nested = false
  const bare = text
    .replace(OPAQUE, (opaque) => {
      if (opaque.startsWith('"')) return QUOTED
      if (!/^(--|\/\*)/.test(opaque)) return ' ? '
      nested ||= opaque.startsWith('/*') && opaque.includes('/*', 2)
      return ' '
    })
    .replace(/[ \t\n\r\f\v]+/g, ' ')
    .replace(/ ?\. ?/g, '.')
  if (!/^[ (]*(select|with|values|table|show)\b/i.test(bare)) return false
  // Escape strings and nested comments end elsewhere than they seem to; nobody who has reads to share writes them often.
  if (nested || NOT_READ.test(bare) || /(^|\W)(e|u&)['"]/i.test(text)) return false
  for (const match of bare.matchAll(CALL)) {
    const name = match[1] ?? ''
    if (/[^!-~]/.test(name)) return false
    if (!PURE.has(name.toLowerCase().replace(/^pg_catalog\./, ''))) return false
  }
  return true
}
