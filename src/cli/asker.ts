import { UsageError } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface Question<Answer> {
  readonly question: string;
  /** What gives the answer on the command line. */
  readonly option: string;
  /** What the command line gave. */
  readonly given: string | undefined;
  /** Taken where nothing else is answered; undefined: there has to be an answer. */
  readonly fallback: string | undefined;
  /** Throws a `UsageError` where the answer is none. */
  readonly read: (text: string) => Answer;
}

/** Asks a person, and again where the answer cannot be used; where nobody is asked, options and fallbacks answer. */
export interface Asker {
  ask<Answer>(question: Question<Answer>): Promise<Answer>;
  /** What a person has to know for the next question. */
  say(text: string): void;
}

export function createAsker(terminal: Terminal, { takesUsual }: { readonly takesUsual: boolean }): Asker {
  const asks = terminal.interactive && !takesUsual;
  return {
    async ask({ question, option, given, fallback, read }) {
      if (given !== undefined) return read(given);
      if (takesUsual && fallback !== undefined) return read(fallback);
      if (!asks) {
        throw new UsageError(
          `Nobody is here to answer: ${question}?`,
          `Add ${option}${fallback === undefined ? "" : ", or --yes to take what is usual"}.`,
        );
      }
      for (;;) {
        const text = await terminal.ask(question, fallback);
        if (text === undefined)
          throw new UsageError("It was left without an answer.", "Nothing was written.");
        try {
          return read(text);
        } catch (error) {
          if (!(error instanceof UsageError)) throw error;
          terminal.note(`${error.message} ${error.suggestion}`);
        }
      }
    },
    say(text) {
      if (asks) terminal.note(text);
    },
  };
}
