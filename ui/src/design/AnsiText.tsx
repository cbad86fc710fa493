import { type CSSProperties, memo, type ReactNode, useMemo } from "react";
import { type Line, parseAnsi, type Style } from "../text/ansi.ts";

function colour(value: number | string | null): string | undefined {
  if (value === null) return undefined;
  return typeof value === "number" ? `var(--ansi-${value})` : value;
}

function css(style: Style): CSSProperties | undefined {
  const { fg, bg, bold, dim, italic, underline, inverse } = style;
  if (fg === null && bg === null && !bold && !dim && !italic && !underline && !inverse) return undefined;
  const front = colour(inverse ? bg : fg) ?? (inverse ? "var(--code-bg)" : undefined);
  const back = colour(inverse ? fg : bg) ?? (inverse ? "var(--text)" : undefined);
  return {
    color: front,
    background: back,
    fontWeight: bold ? 600 : undefined,
    opacity: dim ? 0.65 : undefined,
    fontStyle: italic ? "italic" : undefined,
    textDecoration: underline ? "underline" : undefined,
  };
}

const Row = memo(
  function Row({ line }: { line: Line }): ReactNode {
    return <>{line.map((run, index) => <span key={index} style={css(run.style)}>{run.text}</span>)}{"\n"}</>;
  },
  (before, after) =>
    before.line.length === after.line.length &&
    before.line.every((run, index) => {
      const other = after.line[index];
      return other !== undefined && other.text === run.text && sameStyle(run.style, other.style);
    }),
);

function sameStyle(one: Style, two: Style): boolean {
  return (Object.keys(one) as (keyof Style)[]).every((key) => one[key] === two[key]);
}

/** Terminal output with its colours; `lastLines` shows only the end of it. */
export function AnsiText({ text, lastLines }: { text: string; lastLines?: number }): ReactNode {
  const lines = useMemo(() => {
    // Enough text for the wanted lines, cut before parsing: output may be long and grow often.
    const part = lastLines === undefined ? text : text.slice(-lastLines * 400);
    const parsed = parseAnsi(part);
    if (lastLines === undefined) return parsed;
    const tail = parsed.slice(-lastLines);
    return tail.slice(Math.max(0, tail.findIndex((line) => line.length > 0)));
  }, [text, lastLines]);
  return lines.map((line, index) => <Row key={index} line={line} />);
}
