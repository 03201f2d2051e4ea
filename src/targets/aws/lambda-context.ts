/** What is used of what Lambda tells a function beside its event. */
export interface LambdaContext {
  /** Until the function is killed. */
  getRemainingTimeInMillis(): number;
}
