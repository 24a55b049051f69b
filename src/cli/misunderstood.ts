/** A command line that reads well and still asks for what cannot be done as it is said: told as one that was not understood. */
export class Misunderstood extends Error {}
