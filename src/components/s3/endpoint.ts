/** S3_ENDPOINT: a URL, or `host:port` as MinIO's own settings have it. */

export interface Endpoint {
  readonly host: string
  readonly port: number | undefined
  /** Undefined where only `host:port` was written. */
  readonly tls: boolean | undefined
}

/** The endpoint, or what was expected instead. The reason never repeats the text, which may hold a password. */
export function parseEndpoint(text: string): Endpoint | { readonly expected: string } {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https')
    return { expected: "a URL that begins with 'http://' or 'https://', or host:port" }
  const url = URL.parse(scheme === undefined ? `http://${text}` : text)
  if (url === null || url.hostname === '')
    return { expected: "a URL such as 'https://minio.internal:9000', or host:port" }
  if (url.username !== '' || url.password !== '')
    return {
      expected: 'an address without credentials; put those into S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY',
    }
  if ((url.pathname !== '/' && url.pathname !== '') || url.search !== '' || url.hash !== '')
    return { expected: 'an address without a path; the name of the bucket goes into S3_BUCKET' }
  return {
    host: url.hostname,
    port: url.port === '' ? undefined : Number(url.port),
    tls: scheme === undefined ? undefined : scheme === 'https',
  }
}

/** As a URL; `tls` where the text did not say. */
export function endpointUrl(endpoint: Endpoint, tls: boolean): string {
  const { host, port } = endpoint
  return `${(endpoint.tls ?? tls) ? 'https' : 'http'}://${host}${port === undefined ? '' : `:${port}`}`
}
