import type { ReactNode } from "react";

interface SegmentsProps<T> {
  "aria-label"?: string;
  "aria-labelledby"?: string;
  of: readonly T[];
  now: T;
  words: (each: T) => string;
  onChoose: (next: T) => void;
}

/** A choice of a few, all of them in view. */
export function Segments<T extends string | number>({ of, now, words, onChoose, ...name }: SegmentsProps<T>): ReactNode {
  return (
    <div className="segments" role="group" {...name}>
      {of.map((each) => (
        <button key={each} type="button" className="segment" aria-pressed={each === now} onClick={() => onChoose(each)}>
          {words(each)}
        </button>
      ))}
    </div>
  );
}
