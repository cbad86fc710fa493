import katex from "katex";
import "katex/dist/katex.min.css";
import { type ReactNode, useLayoutEffect, useRef } from "react";

interface FormulaProps {
  text: string; block: boolean;
  /** What stands there until, or instead of what, it can be drawn. */
  onError: (why: string) => void;
}

/** Drawn by KaTeX into a node of its own: it makes elements, and hands nothing to the HTML parser. Loaded on first need. */
export default function Formula({ text, block, onError }: FormulaProps): ReactNode {
  const at = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    if (at.current === null) return;
    try {
      // `trust: false` (the default) takes links, images and styles out of what a model wrote.
      katex.render(text, at.current, { displayMode: block, maxExpand: 200, maxSize: 20, strict: "ignore" });
    } catch (error) {
      onError(error instanceof Error ? error.message : String(error));
    }
  }, [text, block, onError]);
  return <span ref={at} className={block ? "md-display" : undefined} />;
}
