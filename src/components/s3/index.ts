/** `sluice/s3`: objects on S3 and what speaks its protocol, or as files in a directory. */
export { s3, type S3Options } from './s3.ts'
export type {
  AttributeOptions,
  BatchUpload,
  CopyOptions,
  DownloadOptions,
  ListOptions,
  ObjectBody,
  PresignedUrl,
  PresignGetOptions,
  PresignOptions,
  PresignPutOptions,
  S3,
  SweepOptions,
  UploadOptions,
} from './api.ts'
export type { ByteRange, ListedObject, ListPage, ObjectInfo, Progress, StoredObject } from './object.ts'
export type { CollectOptions, Download } from './download.ts'
export type { Listing } from './listing.ts'
