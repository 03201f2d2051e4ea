/**
 * What an earlier server left is taken over once, before this one does anything: whatever comes first, all calls wait
 * for the same `recover`. A failure is not kept; the next call tries again.
 */
export function recoverOnce(recover: () => Promise<void>): () => Promise<void> {
  let recovery: Promise<void> | undefined;
  return () => {
    recovery ??= recover().catch((error: unknown) => {
      recovery = undefined;
      throw error;
    });
    return recovery;
  };
}
