/**
 * What happens in the community: fifteen events, each published in the transaction of the change that it tells of.
 *
 * `vote.*` is about somebody's vote, `post.voted` and `comment.voted` about what it did to a score. The key of an event is
 * the post or the person that it is about, so that what belongs together is handled by one process.
 */
import { event } from 'sluice/events'
import { z } from 'zod'

const id = z.string()
const value = z.union([z.literal(1), z.literal(-1)])
/** What somebody's vote was worth before and after; 0 without one. */
const change = { from: z.number().int(), to: z.number().int() }

const post = z.object({ postId: id, authorId: id })
const comment = z.object({ commentId: id, postId: id, parentId: id.nullable(), authorId: id })
const follow = z.object({ followerId: id, followeeId: id })
const membership = z.object({ circleId: id, userId: id })
const vote = z.object({ target: z.enum(['post', 'comment']), targetId: id, postId: id, voterId: id, value })

export const PostPublished = event('post.published', post)
export const PostUpdated = event('post.updated', post)
export const PostDeleted = event('post.deleted', post)
export const PostVoted = event('post.voted', post.extend({ voterId: id, ...change }))

export const CommentCreated = event('comment.created', comment)
export const CommentDeleted = event('comment.deleted', comment)
export const CommentVoted = event('comment.voted', comment.extend({ voterId: id, ...change }))

export const UserRegistered = event('user.registered', z.object({ userId: id, name: z.string() }))
export const UserFollowed = event('user.followed', follow)
export const UserUnfollowed = event('user.unfollowed', follow)

export const CircleJoined = event('circle.joined', membership)
export const CircleLeft = event('circle.left', membership)

export const VoteCreated = event('vote.created', vote)
export const VoteUpdated = event('vote.updated', vote.extend({ before: value }))
export const VoteDeleted = event('vote.deleted', vote)

/** The key of events about a post, its comments and its votes. */
export function ofPost(postId: string): string {
  return `post:${postId}`
}

/** The key of events about a person. */
export function ofUser(userId: string): string {
  return `user:${userId}`
}

export function ofCircle(circleId: string): string {
  return `circle:${circleId}`
}
