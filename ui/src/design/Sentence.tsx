import { Fragment, type ReactNode } from "react";

/** A sentence of the daemon, in which what stands between backticks is code. */
export function Sentence({ text }: { text: string }): ReactNode {
  return text.split(/(`[^`\n]+`)/).map((piece, index) => {
    const code = piece.length > 2 && piece.startsWith("`") && piece.endsWith("`");
    return <Fragment key={index}>{code ? <code>{piece.slice(1, -1)}</code> : piece}</Fragment>;
  });
}

export function Sentences({ of, className }: { of: readonly string[]; className?: string }): ReactNode {
  return <ul className={className}>{of.map((text) => <li key={text}><Sentence text={text} /></li>)}</ul>;
}
