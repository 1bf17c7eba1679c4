import type { Entries } from './compact.ts';
import { Intset, Listpack, Ziplist, Zipmap } from './compact.ts';
import type { ContentDigest } from './digest.ts';
import type { FastKeys } from './fast-keys.ts';
import { HELD_BYTES_MAX } from './format.ts';
import type { Input, Parse } from './input.ts';
import { Seen } from './seen.ts';
import type { Texts } from './texts.ts';

/** Members and fields of one value that are compared with each other; the ones after that are not. */
const COMPARED_ELEMENTS_MAX = 512 * 1024;

/** What the readers of values share. */
export interface ValueContext {
  readonly input: Input;
  readonly texts: Texts;
  readonly digest: ContentDigest;
  readonly seen: Seen;
  readonly heldBytesMax: number;
  /** Takes elements of large values, once it is there. */
  fast: FastKeys | undefined;
  readonly listpack: Listpack;
  readonly ziplist: Ziplist;
  readonly intset: Intset;
  readonly zipmap: Zipmap;
  /** Of a stream node: a bookmark at the fields of its first entry, and a walk over them for each entry that has the same. */
  readonly masterFields: Listpack;
  readonly sameFields: Listpack;
  /** Counts the keys of each module type. */
  countModule(name: string): void;
}

export function createValueContext(
  input: Input,
  texts: Texts,
  digest: ContentDigest,
  countModule: (name: string) => void,
  heldBytesMax = HELD_BYTES_MAX,
): ValueContext {
  return {
    input,
    texts,
    digest,
    countModule,
    seen: new Seen(COMPARED_ELEMENTS_MAX),
    heldBytesMax,
    fast: undefined,
    listpack: new Listpack(),
    ziplist: new Ziplist(),
    intset: new Intset(),
    zipmap: new Zipmap(),
    masterFields: new Listpack(),
    sameFields: new Listpack(),
  };
}

/**
 * Reads a compact value whole and starts the walk over its entries. One that is too large to be held goes into the
 * digest as it is, is counted as unchecked, and there is no walk.
 */
export function* held<Walk extends Entries>(
  context: ValueContext,
  entries: Walk,
  what: string,
): Parse<Walk | undefined> {
  const { input, texts, digest } = context;
  input.begin(what);
  if (texts.take() || (yield* texts.wholeUnlessTooLarge()))
    return entries.open(texts.bytes, texts.start, texts.end);
  digest.unchecked();
  yield* texts.passRest(digest);
  return undefined;
}
