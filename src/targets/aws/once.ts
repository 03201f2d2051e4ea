/**
 * What `make` makes, made by the first call and kept for as long as the process is warm. A failure is not kept: the
 * next event tries again, so that one bad moment does not spoil a process for its whole life.
 */
export function once<Made>(make: () => Made): () => Made {
  let kept: { readonly made: Made } | undefined;
  return () => {
    kept ??= { made: make() };
    return kept.made;
  };
}
