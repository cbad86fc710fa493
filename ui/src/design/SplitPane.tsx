import { type KeyboardEvent, type PointerEvent, type ReactNode, useRef, useState } from "react";

const STEP = 16;

/** A kept width, as long as it is one. */
export function widthOf(kept: string | null, initial: number, min: number, max: number): number {
  const value = kept === null ? Number.NaN : Number(kept);
  return Math.min(max, Math.max(min, Number.isFinite(value) ? value : initial));
}

interface SplitPaneProps {
  /** Under this name the browser remembers the width. */
  id: string;
  /** What the handle says to a screen reader, e.g. "Width of the file list". */
  label: string;
  /** Widths of the sized pane in CSS pixels. */
  initial: number;
  min: number;
  max: number;
  first: ReactNode;
  second: ReactNode;
  /** Which of the two has the width; the other takes the rest. */
  sized?: "first" | "second";
  /** Which one a phone shows, where there is room for one only. */
  phone: "first" | "second";
}

/** Two panes and a handle between them: by pointer, by arrow keys; a double click or Enter resets. */
export function SplitPane({ id, label, initial, min, max, first, second, sized = "first", phone }: SplitPaneProps): ReactNode {
  const key = `kaged.split.${id}`;
  const root = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(() => widthOf(localStorage.getItem(key), initial, min, max));
  const put = (next: number): void => {
    const held = Math.round(Math.min(max, Math.max(min, next)));
    setWidth(held);
    localStorage.setItem(key, String(held));
  };
  const keyDown = (event: KeyboardEvent): void => {
    const grow = sized === "first" ? 1 : -1;
    const step = event.shiftKey ? 4 * STEP : STEP;
    const next: Record<string, number> = {
      ArrowRight: width + grow * step, ArrowLeft: width - grow * step, Home: min, End: max, Enter: initial,
    };
    const wanted = next[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    put(wanted);
  };
  const move = (event: PointerEvent<HTMLDivElement>): void => {
    const box = root.current?.getBoundingClientRect();
    if (box === undefined || !event.currentTarget.hasPointerCapture(event.pointerId)) return;
    put(sized === "first" ? event.clientX - box.left : box.right - event.clientX);
  };
  const columns = sized === "first" ? `min(${width}px, 60%) 1px minmax(0, 1fr)` : `minmax(0, 1fr) 1px min(${width}px, 60%)`;
  return (
    <div ref={root} className="split" data-phone={phone} style={{ gridTemplateColumns: columns }}>
      <div className="split-pane" data-pane="first">{first}</div>
      <div className="split-handle" role="separator" aria-label={label} aria-orientation="vertical"
        aria-valuenow={width} aria-valuemin={min} aria-valuemax={max} tabIndex={0} onKeyDown={keyDown}
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)} onPointerMove={move}
        onDoubleClick={() => put(initial)} />
      <div className="split-pane" data-pane="second">{second}</div>
    </div>
  );
}
