import { Store } from "./store.ts";

/** What the reader chose in this browser: the first of `of` until they choose, and kept when it is another. */
export class Choice<T extends string> extends Store<T> {
  readonly #key: string;
  readonly #usual: T;

  constructor(key: string, of: readonly [T, ...T[]]) {
    const kept = globalThis.localStorage?.getItem(key);
    super(of.find((each) => each === kept) ?? of[0]);
    this.#key = key;
    this.#usual = of[0];
  }

  choose = (value: T): void => {
    if (value === this.#usual) localStorage.removeItem(this.#key);
    else localStorage.setItem(this.#key, value);
    this.set(value);
  };
}
