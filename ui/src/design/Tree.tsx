import { type KeyboardEvent, type ReactNode, useRef, useState } from "react";
import { ForwardIcon } from "./icons.tsx";
import { Spinner } from "./parts.tsx";
import { moved, useTypeAhead } from "./roving.ts";

export interface TreeNode {
  id: string;
  label: string;
  icon?: ReactNode;
  /** Stands at the right end, e.g. how much changed. */
  note?: ReactNode;
  /** Absent: a leaf. Present: can be opened, also while it is not known what is inside (`busy`). */
  children?: readonly TreeNode[];
  busy?: boolean;
}

interface TreeRow {
  node: TreeNode;
  level: number;
  place: number;
  among: number;
  parent: string | null;
}

/** What is visible, from top to bottom. */
export function rowsOf(nodes: readonly TreeNode[], open: ReadonlySet<string>): TreeRow[] {
  const rows: TreeRow[] = [];
  const walk = (list: readonly TreeNode[], level: number, parent: string | null): void => {
    list.forEach((node, index) => {
      rows.push({ node, level, place: index + 1, among: list.length, parent });
      if (node.children !== undefined && open.has(node.id)) walk(node.children, level + 1, node.id);
    });
  };
  walk(nodes, 1, null);
  return rows;
}

interface TreeProps {
  label: string;
  nodes: readonly TreeNode[];
  open: ReadonlySet<string>;
  onOpen: (id: string, open: boolean) => void;
  selected: string | null;
  onSelect: (id: string) => void;
}

/** A tree as file managers have it: arrows walk, right opens, left closes or goes up, letters jump, Enter chooses. */
export function Tree({ label, nodes, open, onOpen, selected, onSelect }: TreeProps): ReactNode {
  const root = useRef<HTMLDivElement>(null);
  const typed = useTypeAhead();
  const [focused, setFocused] = useState<string | null>(null);
  const rows = rowsOf(nodes, open);
  const index = (id: string | null): number => rows.findIndex((row) => row.node.id === id);
  const stop = Math.max(0, index(focused) >= 0 ? index(focused) : index(selected));
  const focus = (at: number): void => root.current?.querySelectorAll<HTMLElement>("[role=treeitem]")[at]?.focus();
  const press = ({ id, children }: TreeNode): void => {
    if (children !== undefined) onOpen(id, !open.has(id));
    else onSelect(id);
  };
  const keyDown = (event: KeyboardEvent): void => {
    const row = rows[stop];
    if (row === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const { id, children } = row.node;
    const isOpen = children !== undefined && open.has(id);
    const next = moved(event.key, stop, rows.length);
    if (next !== null) {
      // A tree ends where it ends.
      if (event.key === "ArrowDown" ? next > stop : event.key !== "ArrowUp" || next < stop) focus(next);
    } else if (event.key === "ArrowRight") {
      if (isOpen && children.length > 0) focus(stop + 1);
      else if (children !== undefined && !isOpen) onOpen(id, true);
    } else if (event.key === "ArrowLeft") {
      if (isOpen) onOpen(id, false);
      else if (row.parent !== null) focus(index(row.parent));
    } else {
      const named = typed(event, rows.map((entry) => entry.node.label), stop);
      if (named !== null) focus(named);
      else if (event.key === "Enter" || event.key === " ") press(row.node);
      else return;
    }
    event.preventDefault();
  };
  return (
    <div ref={root} className="tree" role="tree" aria-label={label} onKeyDown={keyDown}>
      {rows.map(({ node, level, place, among }, at) => (
        <div key={node.id} role="treeitem" className="tree-row" data-level={level} aria-level={level}
          aria-posinset={place} aria-setsize={among}
          aria-expanded={node.children === undefined ? undefined : open.has(node.id)}
          aria-selected={node.id === selected} aria-busy={node.busy} tabIndex={at === stop ? 0 : -1}
          style={{ paddingInlineStart: `calc(${level - 1} * var(--space-4) + var(--space-2))` }}
          onFocus={() => setFocused(node.id)} onClick={() => press(node)}>
          {node.busy ? <Spinner /> : <ForwardIcon size={14} className="tree-mark" />}
          {node.icon}
          <span className="grow ellipsis">{node.label}</span>
          {node.note}
        </div>
      ))}
    </div>
  );
}
