/** A piece of TypeScript that is neither space nor comment. */
export interface Token {
  /** `mark` is one character of punctuation. Of a text, `text` is the content without its quotation marks. */
  readonly kind: "word" | "number" | "text" | "pattern" | "mark";
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
}

/**
 * The tokens of a source, comments left out. It knows as much of the language as is needed to tell code from texts
 * and comments; the code in `${…}` of a template counts as code.
 */
export function sourceTokens(source: string): readonly Token[] {
  return new Scanner(source).tokens();
}

const wordPattern = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*/uy;
const numberPattern = /\d[\w.]*/y;
const patternPattern = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y;
/** After these a slash begins a regular expression; after any other word it divides. */
const wordsBeforePatterns: readonly string[] = [
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "await",
  "yield",
  "void",
];

class Scanner {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;

  constructor(source: string) {
    this.#source = source.startsWith("#!") ? `//${source.slice(2)}` : source;
  }

  tokens(): readonly Token[] {
    this.#scan(false);
    return this.#tokens;
  }

  /** To the end, or to the brace that ends the code in a template. */
  #scan(inTemplate: boolean): void {
    let depth = 0;
    while (this.#at < this.#source.length) {
      const character = this.#source[this.#at] ?? "";
      if (character === "}" && inTemplate && depth === 0) {
        this.#at++;
        return;
      }
      if (character === "{") depth++;
      if (character === "}") depth--;
      this.#next(character);
    }
  }

  #next(character: string): void {
    const rest = this.#source.slice(this.#at, this.#at + 2);
    if (character === "\n") {
      this.#line++;
      this.#at++;
    } else if (/\s/.test(character)) this.#at++;
    else if (rest === "//") this.#skipTo("\n");
    else if (rest === "/*") this.#skipPast("*/");
    else if (character === '"' || character === "'") this.#readText(character);
    else if (character === "`") this.#readTemplate();
    else if (this.#take("word", wordPattern) || this.#take("number", numberPattern)) return;
    else if (character === "/" && this.#beginsPattern() && this.#take("pattern", patternPattern)) return;
    else {
      this.#push("mark", character);
      this.#at++;
    }
  }

  #beginsPattern(): boolean {
    const before = this.#tokens.at(-1);
    if (before === undefined) return true;
    if (before.kind === "word") return wordsBeforePatterns.includes(before.text);
    return before.kind === "mark" && before.text !== ")" && before.text !== "]";
  }

  #take(kind: Token["kind"], pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const [text] = pattern.exec(this.#source) ?? [];
    if (text === undefined) return false;
    this.#push(kind, text);
    this.#at += text.length;
    return true;
  }

  #readText(quote: string): void {
    const start = this.#at + 1;
    this.#at = start;
    while (this.#at < this.#source.length && this.#source[this.#at] !== quote) {
      this.#at += this.#source[this.#at] === "\\" ? 2 : 1;
    }
    this.#push("text", this.#source.slice(start, this.#at));
    this.#at++;
  }

  #readTemplate(): void {
    this.#at++;
    let start = this.#at;
    const finish = (): void => {
      const text = this.#source.slice(start, this.#at);
      this.#push("text", text);
      this.#line += text.split("\n").length - 1;
    };
    while (this.#at < this.#source.length && this.#source[this.#at] !== "`") {
      if (this.#source.startsWith("${", this.#at)) {
        finish();
        this.#at += 2;
        this.#scan(true);
        start = this.#at;
      } else {
        this.#at += this.#source[this.#at] === "\\" ? 2 : 1;
      }
    }
    finish();
    this.#at++;
  }

  #skipTo(end: string): void {
    const found = this.#source.indexOf(end, this.#at);
    this.#at = found === -1 ? this.#source.length : found;
  }

  #skipPast(end: string): void {
    const found = this.#source.indexOf(end, this.#at + 2);
    const next = found === -1 ? this.#source.length : found + end.length;
    this.#line += this.#source.slice(this.#at, next).split("\n").length - 1;
    this.#at = next;
  }

  #push(kind: Token["kind"], text: string): void {
    this.#tokens.push({ kind, text, line: this.#line });
  }
}
