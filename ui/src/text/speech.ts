/** Most that is said at once; whoever wants more reads the answer itself. */
const MOST = 280;

/** A part of an answer as it is to be said, and how far into the answer that reaches. */
export interface Saying {
  words: string; upTo: number;
}

/**
 * What a screen reader says next of an answer that streams: whole sentences only, code and tables left out, and the
 * newest of them when more came than can be listened to. With `done` the rest, whole or not.
 */
export function nextSaying(text: string, from: number, done: boolean): Saying {
  const fresh = text.slice(from);
  const ends = [...fresh.matchAll(/[.!?:…][)"'”]?(?=\s)|\n\n/g)];
  const last = ends.at(-1);
  const upTo = done ? text.length : last === undefined ? from : from + last.index + last[0].length;
  const words = plain(text.slice(0, from), text.slice(from, upTo));
  if (words.length <= MOST) return { words, upTo };
  const tail = words.slice(-MOST);
  const sentence = /[.!?:…]\s+/.exec(tail);
  return { words: `… ${sentence === null ? tail : tail.slice(sentence.index + sentence[0].length)}`, upTo };
}

function plain(before: string, text: string): string {
  const inFence = (before.match(/^ {0,3}```/gm)?.length ?? 0) % 2 === 1;
  return text
    .split(/^ {0,3}```.*$/m)
    .filter((_, index) => (index % 2 === 1) === inFence)
    .join(" ")
    .replace(/^\s*(?:#{1,6}|[-*+>]|\d+\.|\|.*)(?=\s|$)/gm, "")
    .replace(/[*_`|]+/g, "")
    .replace(/\s+/g, " ")
    .trim();
}
